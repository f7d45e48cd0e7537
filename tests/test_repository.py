"""Rules of this repository that no linter knows: each is a check, so that no one has to remember it."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from orchmagic.trace import audit_lines

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MADE = {"__pycache__", "executed", "results", "node_modules", "build", "dist"}


@cache
def tracked() -> list[Path]:
    """Every file that is, or would be, committed; without git, every file that no tool has made."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        listed = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [p for p in ROOT.rglob("*") if p.is_file() and not made(p.relative_to(ROOT).parts[:-1])]


def made(folders: tuple[str, ...]) -> bool:
    return any(name in MADE or (name.startswith(".") and name != ".ci") for name in folders)


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Path and text of the tracked files with these suffixes (all text files when there are none)."""
    for path in tracked():
        if suffixes and path.suffix not in suffixes:
            continue
        if (text := text_of(path)) is not None:
            yield path.relative_to(ROOT).as_posix(), text


@cache
def text_of(path: Path) -> str | None:
    """None for a picture."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


class Outline(NamedTuple):
    """What the rules below look at in a module of the package."""

    file: str
    purpose: str | None
    lengths: dict[str, int]  # of its functions, by line and name
    classes: list[str]


@cache
def outlines() -> list[Outline]:
    found = []
    for name, text in texts(".py"):
        if name.startswith("orchmagic/"):
            tree = ast.parse(text)
            functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            lengths = {f"{n.lineno} {n.name}": (n.end_lineno or 0) - n.lineno + 1 for n in functions}
            classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
            found.append(Outline(name, ast.get_docstring(tree), lengths, classes))
    assert len(found) > 300
    return found


def found(pattern: str, *suffixes: str) -> list[str]:
    """`path:line: text` of every line that matches."""
    seek = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts(*suffixes)
        for number, line in enumerate(text.splitlines(), start=1)
        if seek.search(line)
    ]


def test_no_file_names_a_package_registry_or_a_folder_of_someones_machine():
    # each pattern is written so that it does not match itself
    registries = r"(?i)(pythonhost|npmj|yarnpk)[a-z]*\.[a-z]{2,3}|pyp[i]\.org"
    folders = r"/wor[k]/[a-z.]|/tm[p]/lab|/roo[t]/|/home/[a-z]+/|/Users/[a-z]+/"
    assert found(f"{registries}|{folders}") == []


def test_nothing_is_a_stub():
    assert found(r"NotImplemented[E]rror|TO[D]O|FIX[M]E|X[X]X|pytest\.ski[p]\(|assert Tru[e]\b", ".py", ".ts") == []


def test_every_ignored_rule_has_its_reason_beside_it_or_on_the_line_above():
    ignore = re.compile(r"# (?:noqa: |type: ignore\[)(?P<rule>[\w, -]+?)\]?(?P<reason>  # .+| - .+)?$")
    bare = []
    for name, text in texts(".py"):
        above = None
        for number, line in enumerate(text.splitlines(), start=1):
            here = ignore.search(line)
            if here and not here["reason"] and here["rule"] != above:
                bare.append(f"{name}:{number}: {line.strip()}")
            above = here["rule"] if here else None
    assert bare == []


def test_functions_stay_short_enough_to_read():
    long = [
        f"{o.file}:{function}: {lines} lines" for o in outlines() for function, lines in o.lengths.items() if lines > 50
    ]
    assert long == []


def test_no_file_is_named_after_nothing():
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert [p for p in tracked() if p.stem.lower() in empty] == []


def test_every_module_starts_with_what_it_is_for():
    silent = [o.file for o in outlines() if not o.purpose]
    assert silent == []


def test_the_weights_are_pinned_alike_in_the_three_places():
    listed = json.loads((ROOT / "orchmagic/models/local_engine/weights.json").read_text())
    shards = {f"{s['package']}=={s['version']}" for entry in listed.values() for s in entry["shards"]}
    extra = {line for line in PROJECT["project"]["optional-dependencies"]["local"] if "xllamacpp" not in line}
    locked = (ROOT / "requirements/local-model.txt").read_text().splitlines()
    assert shards == extra == {line.split()[0] for line in locked}
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in locked)
    assert all(re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]) for entry in listed.values())


def test_the_version_is_the_projects():
    assert import_module("orchmagic").__version__ == PROJECT["project"]["version"]


def test_importing_the_package_imports_nothing_heavy():
    heavy = (
        "langgraph",
        "langchain_core",
        "openai",
        "plotly",
        "pydantic",
        "jinja2",
        "diskcache",
        "ipywidgets",
        "genai_prices",
    )
    code = f"import orchmagic.notebook.magics, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_generated_pages_say_what_the_patterns_say():
    script = [sys.executable, "docs/build.py", "--check"]
    run = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.returncode == 0


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings; a heading that comes again gets a number."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    ):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def dead_links(page: Path, text: str) -> list[str]:
    """The relative links and anchors of a page that lead nowhere; addresses of other sites are not looked at."""
    dead = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        there = target.exists() and (
            not anchor or anchor in anchors(target.read_text(encoding="utf-8") if name else text)
        )
        if not there:
            dead.append(link)
    return dead


def test_every_link_and_anchor_of_a_page_leads_somewhere():
    pages = dict(texts(".md"))
    pages |= dict(prose_of_notebooks())
    assert {"README.md", "CONTRIBUTING.md", "docs/models.md", "notebooks/model_layer.ipynb"} <= set(pages)
    assert {name: dead for name, text in pages.items() if (dead := dead_links(ROOT / name, text))} == {}


def test_a_link_that_leads_nowhere_is_seen():
    text = "# One\n\n## Two words\n\n## `Two` words\n\n[a](#two-words) [b](#two-words-1) [c](#three) [d](docs/models.md#prices)"
    assert dead_links(ROOT / "README.md", f"{text} [e](docs/models.md#price) [f](no.md) [g](https://x.example/#y)") == [
        "#three",
        "docs/models.md#price",
        "no.md",
    ]


def prose_of_notebooks() -> Iterator[tuple[str, str]]:
    """Name and source text (Markdown and code) of every notebook."""
    for name, text in texts(".ipynb"):
        yield name, "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


FOLDERS = "orchmagic|tests|benchmarks|notebooks|docs|requirements|labextension"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w")
DOTTED = re.compile(r"(?<![\w./-])orchmagic(?:\.[A-Za-z_]\w*)+")
IMPORTED = re.compile(r"^from (orchmagic[\w.]*) import (.+)$", re.MULTILINE)


def missing_names(text: str, in_source: str) -> list[str]:
    """The paths of this repository and the dotted names under `orchmagic.` that a page names and that do not exist.

    A last part in capitals (`orchmagic/patterns/NAME.py`) is for the reader to fill in. A dotted name that is no Python name
    (an attribute of OpenTelemetry, an entry point group) must occur in the package as a string that begins with it.
    """
    paths = {re.sub(r"/[A-Z]+(\.\w+)?$", "", path) for path in PATH.findall(text)}
    names = set(DOTTED.findall(text))
    names |= {f"{module}.{name.split()[0]}" for module, some in IMPORTED.findall(text) for name in some.split(",")}
    return sorted(
        [path for path in paths if not (ROOT / path).exists()]
        + [name for name in names if not is_python(name) and f'"{name}' not in in_source]
    )


def is_python(dotted: str) -> bool:
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_module_and_path_that_a_page_names_exists():
    source = package_source()
    pages = [
        (name, text)
        for name, text in texts(".md")
        if name.startswith(("README", "CONTRIBUTING", "docs/", "labextension/README"))
    ]
    pages += prose_of_notebooks()
    assert {name: gone for name, text in pages if (gone := missing_names(text, source))} == {}


def test_a_name_that_does_not_exist_is_seen():
    named = "`orchmagic.money`, `orchmagic.run.id`, `orchmagic/patterns/NAME.py`, `tests/ROOM/`"
    gone = "`orchmagic.moneys`, `orchmagic.run.ids`, `orchmagic/pattern/NAME.py`, `docs/no.md`\nfrom orchmagic import Scripts"
    assert missing_names(f"{named} {gone}", '"orchmagic.run.id"') == [
        "docs/no.md",
        "orchmagic.Scripts",
        "orchmagic.moneys",
        "orchmagic.run.ids",
        "orchmagic/pattern",
    ]


QUOTED = {
    "docs/budgets-and-audit.md": (
        "This kernel spent ",
        " (all runs of this kernel)",
        " that broke off",
        ", all its kernels",
    ),
    "docs/models.md": (
        "With every retry and fallback at most ",
        "skipped for ",
        "rate limited",
        ", number ",
        " tokens/s",
        "no endpoint ",
        "for /models",
        "none needed",
        "No price known",
        " without a price",
    ),
    "docs/reading-a-run.md": (
        "from cache",
        "switched to ",
        " of total time",
        "★ best",
        "asked again ",
        "sets the total time",
        "Last result before it stopped",
        "Stopped at its limit",
        "Done, with failures",
    ),
}


@pytest.mark.parametrize("page", QUOTED)
def test_what_a_page_quotes_of_the_program_is_what_it_prints(page: str):
    quoting, source = (ROOT / page).read_text(encoding="utf-8"), package_source()
    assert [words for words in QUOTED[page] if words not in quoting or words not in source] == []


OLD_WORDS = (
    r"\d model calls?\b(?!,? at most)", r"\bcached \([\d{]", r"iterations were not enough", r"its input: [{u]", r"the last value before that",
    r"Who answered, why", r"tokens in, out", r"[\"}] in all\b", r"◆ critical path", r"the length hangs", r"no model was (called|asked)\"",
    r"failed try", r"pale: waiting\"", r"\"(from the record|re-ask)\"", r"of the time`", r"fell back (to|from) ", r"usual for \{",
    r"at least \$[\d.]+ \+", r"of unknown price\"", r"\"price unknown", r"items of \{", r"no known label", r"What went in and out",
    r"[\d}] more items", r"\(\{?[\d,a-z:]+\}? characters\)", r"asked and gave", r"the runs that this notebook holds", r"Time of a run",
    r"is no JSON: ", r"An answer is missing", r"Why\? \(may be empty\)",
)  # fmt: skip
"""What was said before the words of today, as patterns: one thing has one name wherever a person reads it."""


@pytest.mark.parametrize("old", OLD_WORDS)
def test_no_old_word_is_left_in_what_people_read(old: str):
    assert [name for name, text in what_people_read() if re.search(old, text)] == []


@cache
def what_people_read() -> list[tuple[str, str]]:
    read = [
        (name, text)
        for name, text in texts(".py", ".md")
        if name.startswith(("orchmagic/", "docs/", "README")) and not name.startswith("docs/design/")
    ]
    return [*read, *prose_of_notebooks()]


def test_the_page_names_every_event_of_the_audit_log():
    page = (ROOT / "docs/budgets-and-audit.md").read_text(encoding="utf-8")
    table = page[page.index("| `event` |") : page.index("### What is never logged")]
    rows = [row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([a-z ]+)`", row)}
    written = set(re.findall(r'"event": "([a-z ]+)"', package_source("trace/audit")))
    assert named == written | {word for word, _ in audit_lines.LINES.values()}


def package_source(start: str = "") -> str:
    return "".join(text for name, text in texts(".py") if name.startswith(f"orchmagic/{start}"))


def test_make_help_names_every_target():
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE))
    assert {"help", "demo", "test", "test-fast", "check", "lab", "bench", "docs", "pictures"} <= named


def test_the_licence_is_the_one_that_the_project_names():
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    assert PROJECT["project"]["license"] == "BSD-3-Clause"


def test_the_architecture_page_names_files_that_exist_and_every_room():
    page = (ROOT / "docs/architecture.md").read_text()
    files = {name for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", page) if "/" in name}
    assert len(files) > 40
    assert {name for name in files if not (ROOT / "orchmagic" / name).is_file()} == set()
    folders = {path.parent for path in (ROOT / "orchmagic").rglob("*.py")}
    homes = re.findall(r"`([a-z_]+(?:/[a-z_]+)*)/NAME\.py`", page)
    assert homes
    assert {home for home in homes if ROOT / "orchmagic" / home not in folders} == set()
    layers = next(c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")["layers"]
    rooms = {room for layer in layers for room in re.findall(r"\w+", layer)}
    assert {room for room in rooms if f"| `{room}` |" not in page} == set()
    assert len(layers) <= 14


def test_no_two_modules_and_no_two_classes_have_one_name():
    files = [path for path in (ROOT / "orchmagic").rglob("*.py") if not path.stem.startswith("__")]
    classes = [name for o in outlines() for name in o.classes]
    assert [name for name, times in Counter(path.stem for path in files).items() if times > 1] == []
    assert [name for name, times in Counter(classes).items() if times > 1] == []


def test_tests_that_make_runs_apart_are_in_their_folders():
    marked = {
        (mark, "/".join(name.split("/")[:2]))
        for name, text in texts(".py")
        if name.startswith("tests/")
        for mark in re.findall(r"pytest\.mark\.(browser|local_model)\b", text)
    }
    assert marked == {("browser", "tests/browser"), ("local_model", "tests/local")}


def test_no_folder_has_the_name_of_a_module():
    modules = {path.stem for path in (ROOT / "orchmagic").rglob("*.py")}
    folders = {path.parent.name for path in (ROOT / "orchmagic").rglob("__init__.py")}
    assert modules & folders == set()


def test_each_promise_of_the_docs_names_a_test_that_exists():
    named = {
        (name, test)
        for page in (ROOT / "docs").rglob("*.md")
        for name, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    }
    assert named
    missing = [
        f"{name}::{test}"
        for name, test in sorted(named)
        if not (ROOT / name).is_file() or f"def {test}(" not in (ROOT / name).read_text(encoding="utf-8")
    ]
    assert missing == []
