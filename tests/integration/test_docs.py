"""The pages are true: the cells they show run, in order, in a real IPython; a page can restart its kernel."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic.models.providers.scripted import remove

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "docs/batches.md",
    "docs/budgets-and-audit.md",
    "docs/caching.md",
    "docs/composition.md",
    "docs/durability.md",
    "docs/guards.md",
    "docs/models.md",
    "docs/people.md",
    "docs/observability.md",
    "docs/reading-a-run.md",
    "docs/semantic-cache.md",
]
# A cell is a block of Python, or of text that begins with a magic; <!-- run … --> is one that readers need not see.
PIECE = re.compile(r"<!-- (?P<hidden>run|restart)\b(?P<code>.*?)-->|```(?P<kind>\w+)\n(?P<cell>.*?)```", re.DOTALL)


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Whether the kernel is a new one, and the cell."""
    for found in PIECE.finditer(text):
        cell = (found["code"] or found["cell"] or "").strip("\n")
        if found["kind"] == "python" or found["hidden"] or cell.startswith("%"):
            yield found["hidden"] == "restart", cell


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], InteractiveShell]]:
    """Makes a kernel; the one before it is gone then, what it stored is not."""
    monkeypatch.chdir(tmp_path)

    def start() -> InteractiveShell:
        stop()
        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        shell.run_line_magic("load_ext", "orchmagic")
        shell.run_line_magic("config", "OrchMagic.live = False")
        shell.run_line_magic("config", "OrchMagic.model = 'scripted'")
        return shell

    def stop() -> None:
        if InteractiveShell.initialized():
            InteractiveShell.instance().run_line_magic("unload_ext", "orchmagic")
        InteractiveShell.clear_instance()

    yield start
    stop()
    remove()


@pytest.mark.parametrize("page", PAGES)
def test_every_cell_of_the_page_runs(started, page, capsys):
    shell, ran = started(), 0
    for again, cell in pieces((ROOT / page).read_text(encoding="utf-8")):
        shell = started() if again else shell
        done = shell.run_cell(cell)
        assert done.success, f"{page}: {cell}\n{capsys.readouterr().out[-2000:]}"
        ran += 1
    assert ran > 1


def test_a_cell_that_fails_would_be_seen(started, capsys):
    ((_, cell),) = pieces("Text.\n\n```text\n%%chain\nstep\n    {{ hello }\n```\n\n```text\nan output\n```\n")
    assert not started().run_cell(cell).success


def test_no_page_and_no_notebook_writes_a_cost_as_if_it_were_always_known():
    shown = re.compile(r"\$\{[^}]*cost[^}]*:[^}]*[fg]\}")  # ${run.cost:.5f}: a TypeError where no price is known
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("notebooks/*.ipynb"),
        *ROOT.glob("orchmagic/**/*.py"),
    ]
    assert len(files) > 100
    assert [f"{f.name}: {found}" for f in files for found in shown.findall(f.read_text(encoding="utf-8"))] == []


def test_the_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/patterns/*.md")]}
    assert pages - linked == set()
