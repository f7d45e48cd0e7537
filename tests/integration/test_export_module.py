"""What an exported module is: clean by the linters, the same bytes every time, of known names, free of side effects."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from exported_cells import ALL, NESTED
from exporting import graph_of, loaded, ran, served

from orchmagic.errors import ExportError
from orchmagic.export import module, naming
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.types import Deployment, Pool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

# What is not asked of a module, and why.
IGNORED = {
    "ANN401": "Any is what JSON is",
    "ARG001": "every node is given the state, whether it reads it or not",
    "CPY001": "whose copyright it is, the author knows",
    "COM812": "the formatter places commas",
    "D101": "a docstring of an output class would be sent to the model",
    "D203": "its opposite is on",
    "D213": "its opposite is on",
    "EM101": "messages stand where they are raised",
    "EM102": "messages stand where they are raised",
    "E501": "checked by itself: docstrings, comments and texts may have 120 columns",
    "INP001": "a module may stand alone in its folder",
    "PLR2004": "thresholds stand where the cell has them",
    "Q000": "the formatter chooses the quotes that need fewer backslashes",
    "Q003": "the formatter chooses the quotes that need fewer backslashes",
    "T201": "a command prints its result",
    "TRY003": "messages stand where they are raised",
}


def local(alias: str) -> Deployment:
    steady = {"temperature": 0, "seed": 1, "cache_prompt": False}
    return Deployment(alias, "local", "qwen", tools="json", logprobs=True, parameters=steady)


def mixed(alias: str) -> Deployment:
    if alias == "large":
        return Deployment(
            alias, "openai", "large", base_url="https://user:hunter2@models.example/v1?key=x", key_env="LARGE_KEY"
        )
    return local(alias)


KINDS = {"openai": served(), "local": local, "mixed": mixed}


WITH_LOGIC = {"rich", "loop", "tagline", "launch", "report", "slogans", "crew", "pages"}
EVERY = [*ALL, *NESTED]
EXAMPLES = ["triage", "helpdesk", "orders", "moderate", "digest", "tagline", "solve", "launch", "report"]


@cache
def text_of(name: str, kind: str = "openai") -> str:
    """The module of a cell, made once: ruff, which formats it, takes its time."""
    inner, cell, code = NESTED[name] if name in NESTED else ((), *ALL[name])
    space = ran(code)
    for before in inner:
        graph = graph_of(before, space)
        space[graph.name] = SimpleNamespace(definition=graph)
    return module(
        graph_of(cell, space), space, KINDS[kind], CallDefaults(fallback=("large",) if kind == "mixed" else ())
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All modules, of all kinds."""
    place = tmp_path_factory.mktemp("exported")
    for name in EVERY:
        for kind in KINDS:
            (place / f"{name}_{kind}.py").write_text(text_of(name, kind), encoding="utf-8")
    return place


def said(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_modules_pass_ruff_with_all_rules_but_the_few_that_are_named(folder):
    assert not said(
        "ruff", "check", "--isolated", "--no-cache", "--select", "ALL", "--ignore", ",".join(IGNORED), ".", cwd=folder
    )


def test_lines_stay_within_120_columns(folder):
    within = "--config=lint.pycodestyle.max-line-length = 120"
    assert not said("ruff", "check", "--isolated", "--no-cache", "--select", "E501", within, ".", cwd=folder)


def test_modules_are_formatted(folder):
    assert not said("ruff", "format", "--isolated", "--no-cache", "--diff", ".", cwd=folder)


@pytest.mark.slow
def test_modules_pass_mypy_strict(folder):
    files = sorted(str(f) for f in folder.glob("*.py"))
    assert not said("mypy", "--strict", "--config-file=", "--cache-dir", str(folder / "cache"), *files, cwd=folder)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_as_they_were_read(name):
    """After a change on purpose: `python tests/integration/test_export_module.py` (with tests/support on PYTHONPATH) writes them again."""
    assert text_of(name) == (GOLDEN / f"{name}.py").read_text(encoding="utf-8")


def test_the_bytes_are_the_same_every_time():
    assert all(text_of(name) == text_of.__wrapped__(name) for name in EVERY)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_importing_a_module_does_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = loaded(text_of(name), tmp_path, f"imported_{name}")
    assert capsys.readouterr() == ("", "")
    assert made.__doc__
    sys.modules.pop(f"imported_{name}")


def imported(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(EVERY))
def test_modules_need_langgraph_openai_and_pydantic_and_jinja_only_for_logic(name):
    logic = {"jinja2"} if name in WITH_LOGIC else set()
    found = imported(text_of(name))
    assert found <= {"langgraph", "openai", "pydantic", "pydantic_core"} | logic
    assert logic <= found


def test_every_known_import_exists():
    for name, place in naming.IMPORTS.items():
        code = f"from {place} import {name}" if place else f"import {name}"
        exec(code, {})


def test_keys_and_addresses_with_secrets_stay_behind():
    text = text_of("triage", "mixed")
    assert "hunter2" not in text
    assert "key=x" not in text
    assert 'base_url="https://models.example/v1", key="LARGE_KEY"' in text


def test_a_name_that_the_module_needs_is_refused():
    code = "def extract_prompt(text: str) -> str:\n    return text\n"
    cell = "%%chain made\nfound = extract_prompt(question)\nextract\n    {{ found }}\n"
    with pytest.raises(ExportError, match="the module needs 'extract_prompt' for itself"):
        module(graph_of(cell, ran(code)), ran(code), served(), CallDefaults())


def test_a_provider_that_speaks_otherwise_is_refused():
    with pytest.raises(ExportError, match="served by 'other', which a module cannot ask"):
        module(graph_of("%%chain a\nb\n    c\n", {}), {}, served(provider="other"), CallDefaults())


async def test_a_graph_without_models_needs_no_client(tmp_path):
    cell = "%%chain sums\ntwice = [n * 2 for n in numbers]\ngate len(twice) > 1 else stop 'few'\ntotal = sum(twice)\n"
    text = module(graph_of(cell, {"numbers": [1]}), {"numbers": [1]}, served(), CallDefaults())
    made = loaded(text, tmp_path, "sums")
    assert imported(text) == {"langgraph", "pydantic_core"}
    assert made.result(await made.build_graph().ainvoke({"numbers": [1, 2]})) == 6
    assert made.result(await made.build_graph().ainvoke({"numbers": [1]})) == [2]


async def test_visits_hold_only_the_steps_that_ran_as_in_the_notebook(tmp_path):
    graph = graph_of('%%chain early\nfirst = visits["late"]\nlate = 1\n', {})
    made = loaded(module(graph, {}, served(), CallDefaults()), tmp_path, "early")
    with pytest.raises(KeyError, match="late"):
        await made.build_graph().ainvoke({})


ZZ = {
    "%%chain zz_a --fallback large\nzz_b -> list[str]\n    {% if zz_in %}{{ zz_in }}{% endif %}\n"
    "gate zz_b else retry 2\nzz_c(over=zz_b, votes=3) -> bool\n    {{ item }}\nzz_d -> zz_e: str, zz_f: dict[str, int]\n    a\n": "zz_in = ''\n",
    "%%react zz_a --tools zz_tool --approve zz_tool\nZz {{ zz_in }}\n": "zz_in = 1\n\n\ndef zz_tool(zz: str) -> str:\n    return zz\n",
}


@pytest.mark.parametrize("cell", ZZ)
def test_the_names_that_a_module_chooses_are_known_as_taken(cell):
    space = ran(ZZ[cell])
    text = module(graph_of(cell, space), space, mixed, CallDefaults())
    defined = {
        getattr(node, "name", None) or getattr(getattr(node, "target", None) or node.targets[0], "id", "")
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign)
    }
    steps = re.compile(r"(?i:.*(zz|gate_1|large).*)|(after_)?(agent|tools)(_prompt)?|(TOOLS|AGENT)_\w+|Agent")
    chosen = {name for name in defined if not steps.fullmatch(name)}
    assert chosen <= naming.OWN
    assert {"FAULTS", "MODEL", "first_usable", "run", "call_model", "State"} <= chosen


def test_a_graph_that_several_steps_run_is_written_once():
    text = text_of("answered")
    assert text.count("def build_desk(") == text.count("def build_legal(") == 1
    assert text.count("graph=build_desk(client)") == 2


def test_what_is_inside_is_named_after_its_graph():
    defined = {n.name for n in ast.parse(text_of("desk")).body if isinstance(n, ast.AsyncFunctionDef | ast.ClassDef)}
    assert {"router", "contracts", "legal_check", "legal_reply", "LegalState", "State", "LegalCheck"} <= defined


def test_two_graphs_of_one_name_stand_side_by_side():
    space = ran("")
    for name, prompt in (("a", "One {{ x }}"), ("b", "Two {{ x }}")):
        graph = graph_of(f"%%chain inner\nstep\n    {prompt}\n", space)
        space[name] = SimpleNamespace(definition=graph)
    cell = "%%chain outer\none = a(x=x)\ntwo = b(x=one)\n"
    text = module(graph_of(cell, space), space, served(), CallDefaults())
    assert "def build_inner(" in text
    assert "def build_inner_2(" in text


def test_an_inner_graph_keeps_the_model_of_its_cell_and_takes_the_rest_from_outside():
    space = ran("")
    graph = graph_of("%%chain inner --model small\nstep\n    {{ x }}\n", space)
    space["inner"] = SimpleNamespace(definition=graph)
    cell = "%%chain outer --model large --fallback tiny\nmine\n    {{ x }}\nother = inner(x=mine)\n"
    text = module(graph_of(cell, space), space, served(), CallDefaults())
    assert 'MODEL = "large-model"' in text
    assert "await first_usable(client, messages, models=(SMALL, *FALLBACK))" in text


def test_limits_of_inner_graphs_are_constants_of_their_own_or_named_as_left_behind():
    space = ran("")
    options = "--max-steps 7 --budget 0.5 --deadline 9s --concurrency 3"
    graph = graph_of(f"%%chain inner {options}\nstep(over=xs)\n    {{{{ item }}}}\n", space)
    space["inner"] = SimpleNamespace(definition=graph)
    text = module(graph_of("%%chain outer\nother = inner(xs=xs)\n", space), space, served(), CallDefaults())
    assert "INNER_MAX_STEPS = 92" in text  # seven, and room for the expressions that LangGraph counts
    assert "at_once=INNER_CONCURRENCY" in text
    assert "- the budget of 0.5 US dollars inside inner" in text
    assert "- the deadline of 9 s inside inner" in text


def test_the_other_deployments_of_an_alias_are_named_as_left_behind():
    limits = {"requests_per_minute": 60, "concurrency": 4}
    members = (
        Deployment("p@a", "openai", "p-model", "https://api.openai.com/v1"),
        Deployment("p@b", "openai", "m2", "https://user:hunter2@b.example/v1", **limits),
        Deployment("p@c", "openai", "m3", "https://c.example/v1"),
    )
    pools = {"p": Pool("p", members, "uptime", 4.0)}
    graph = graph_of("%%chain asks --model p\nreply\n    Hi {{ x }}\n", ran(""))
    text = " ".join(module(graph, {}, served(), CallDefaults(), pool=pools.get).split())
    told = (
        "- the other deployments of 'p', chosen by 'uptime', a second one after 4 s of silence: m2 at b.example, m3 at"
    )
    assert (
        f"{told} c.example. Here p-model alone is called: where it should go on to another, add that to FALLBACK"
        in text
    )
    assert "- the limits of 'p': 60 requests a minute, 4 calls at once" in text
    assert "hunter2" not in text
    assert "deployments of" not in module(graph, {}, served(), CallDefaults())


def test_an_endpoint_that_takes_no_schema_is_refused_for_typed_steps_alone():
    typed = graph_of("%%chain asks\nreply -> ok: bool\n    Hi\n", ran(""))
    with pytest.raises(ExportError, match="takes no JSON schema, and a module sends one for step 'reply'"):
        module(typed, {}, served(schemas="json"), CallDefaults())
    text = graph_of("%%chain asks\nreply\n    Hi\n", ran(""))
    assert module(text, {}, served(schemas="json"), CallDefaults()) == module(text, {}, served(), CallDefaults())


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for example in EXAMPLES:
        (GOLDEN / f"{example}.py").write_text(text_of(example), encoding="utf-8")
