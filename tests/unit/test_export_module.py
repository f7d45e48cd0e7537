"""What an exported module is: clean by the linters, the same bytes every time, of known names, free of side effects."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from exported_cells import ALL
from exporting import graph_of, loaded, ran, served

from orchmagic.context import CallDefaults
from orchmagic.errors import ExportError
from orchmagic.export import module, names, parts
from orchmagic.models import Deployment

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

# What is not asked of a module, and why.
IGNORED = {
    "ANN401": "Any is what JSON is",
    "CPY001": "whose copyright it is, the author knows",
    "COM812": "the formatter places commas",
    "D101": "a docstring of an output class would be sent to the model",
    "D203": "its opposite is on",
    "D213": "its opposite is on",
    "EM101": "messages stand where they are raised",
    "EM102": "messages stand where they are raised",
    "INP001": "a module may stand alone in its folder",
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
            alias, "openai", "large", base_url="https://user:secret@models.example/v1?key=x", key_env="LARGE_KEY"
        )
    return local(alias)


KINDS = {"openai": served(), "local": local, "mixed": mixed}


def text_of(name: str, kind: str = "openai") -> str:
    cell, code = ALL[name]
    space = ran(code)
    return module(
        graph_of(cell, space), space, KINDS[kind], CallDefaults(fallback=("large",) if kind == "mixed" else ())
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All modules, of all kinds."""
    place = tmp_path_factory.mktemp("exported")
    for name in ALL:
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


def test_modules_are_formatted(folder):
    assert not said("ruff", "format", "--isolated", "--no-cache", "--diff", ".", cwd=folder)


@pytest.mark.slow
def test_modules_pass_mypy_strict(folder):
    files = sorted(str(f) for f in folder.glob("*.py"))
    assert not said("mypy", "--strict", "--config-file=", "--cache-dir", str(folder / "cache"), *files, cwd=folder)


@pytest.mark.parametrize("name", ["triage", "helpdesk", "orders"])
def test_the_examples_are_as_they_were_read(name):
    """After a change on purpose: `python tests/unit/test_export_module.py` writes them again."""
    assert text_of(name) == (GOLDEN / f"{name}.py").read_text(encoding="utf-8")


def test_the_bytes_are_the_same_every_time():
    assert all(text_of(name) == text_of(name) for name in ALL)


@pytest.mark.parametrize("name", sorted(ALL))
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


@pytest.mark.parametrize("name", sorted(ALL))
def test_modules_need_langgraph_openai_and_pydantic_and_jinja_only_for_logic(name):
    logic = {"jinja2"} if name in {"rich", "loop"} else set()
    found = imported(text_of(name))
    assert found <= {"langgraph", "openai", "pydantic", "pydantic_core"} | logic
    assert logic <= found


def test_every_known_import_exists():
    for name, place in names.IMPORTS.items():
        code = f"from {place} import {name}" if place else f"import {name}"
        exec(code, {})


def test_keys_and_addresses_with_secrets_stay_behind():
    text = text_of("triage", "mixed")
    assert "secret" not in text
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


def test_the_names_that_a_module_needs_are_known_as_taken():
    own = {n for n, found in vars(parts).items() if getattr(found, "__module__", "") == parts.__name__}
    assert own <= names.OWN


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for example in ("triage", "helpdesk", "orders"):
        (GOLDEN / f"{example}.py").write_text(text_of(example), encoding="utf-8")
