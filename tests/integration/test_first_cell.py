"""The first cell of a fresh kernel: its graph is shown before LangGraph is imported, or it was imported before."""

from __future__ import annotations

import asyncio
import sys

import pytest
from real_kernel import Kernel

from orchmagic.notebook.idle_imports import IdleImports

LOAD = '%load_ext orchmagic\n%config OrchMagic.model = "scripted"'
CELL = "%%chain hello --no-cache{}\nsay\n    About bees\nshout\n    {{{{ say }}}}\n"
LOADED = "import sys; print('langgraph.graph' in sys.modules)"


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    made.close()


def displays(messages):
    """(the display's id, what it shows) for each display and update, as text."""
    content = [m["content"] for m in messages if m["msg_type"] in {"display_data", "update_display_data"}]
    return [(c["transient"].get("display_id"), str(c["data"])) for c in content]


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["", " --background"])
def test_the_graph_is_shown_at_once_and_the_run_goes_on_in_its_place(kernel, flag):
    kernel.run("import orchmagic.runtime.session")  # so that no idle moment imports LangGraph before the cell
    asked = [kernel.start(LOAD), kernel.start(CELL.format(flag))]
    list(kernel.messages(asked[0]))
    (empty, first, *_, last) = displays(kernel.messages(asked[1], until="idle"))
    assert empty[1] == "{'text/plain': '', 'text/html': ''}"
    assert "hello" in first[1]
    assert 'data-step="shout"' in first[1]
    assert "Running" in first[1]
    assert first[0] == empty[0]
    if not flag:
        assert last[0] == empty[0]
        assert "Done" in last[1]


@pytest.mark.slow
def test_it_is_taken_away_if_the_run_cannot_begin(kernel):
    asked = [kernel.start(LOAD), kernel.start(CELL.format(" --model nowhere"))]
    list(kernel.messages(asked[0]))
    messages = list(kernel.messages(asked[1]))
    assert [m["content"]["ename"] for m in messages if m["msg_type"] == "error"] == ["SettingsError"]
    assert [text for _, text in displays(messages)][-1] == "{'text/plain': '', 'text/html': ''}"


@pytest.mark.slow
def test_an_idle_kernel_imports_it_before_the_first_cell(kernel):
    kernel.run(LOAD)
    for _ in range(600):  # each cell gives the kernel a moment
        if "True" in str([m["content"] for m in kernel.run(LOADED) if m["msg_type"] == "stream"]):
            break
    (_, _, (_, text)) = displays(kernel.run(CELL.format("")))
    assert "Done" in text


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Names of three modules that write their names into `sys.seen`; the second cannot be imported."""
    monkeypatch.setattr(sys, "seen", [], raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    names = ["first_of_idle", "broken_of_idle", "last_of_idle"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(
            f"import sys\nsys.seen.append({name!r})\n" + "1 / 0\n" * ("broken" in name)
        )
    yield tuple(names)
    for name in names:
        sys.modules.pop(name, None)


async def until(done):
    while not done():  # noqa: ASYNC110 - an imported module sets no event
        await asyncio.sleep(0)


def test_between_two_imports_the_loop_goes_on(modules):
    turns = []

    async def kernel() -> None:
        IdleImports(modules).start()
        for number in range(1, 4):
            await until(lambda number=number: len(sys.seen) == number)
            turns.append(list(sys.seen))

    asyncio.run(kernel())
    assert turns == [list(modules[:1]), list(modules[:2]), list(modules)]


def test_after_stop_nothing_is_imported(modules):
    async def kernel() -> None:
        imports = IdleImports(modules)
        imports.start()
        await until(lambda: sys.seen)
        imports.stop()
        assert imports._next.cancelled()

    asyncio.run(kernel())
    assert sys.seen == [modules[0]]


def test_without_a_loop_nothing_is_imported(modules):
    IdleImports(modules).start()
    assert sys.seen == []
