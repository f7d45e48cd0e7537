"""Which cells a kernel is told to await, and kernels that say in other ways what they are doing."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic.notebook.async_cells import Awaited, current_request

CELL = "get_ipython().run_cell_magic('chain', '--model x', 'a\\n')\n"


class Asking:
    """A kernel that works on one message."""

    def __init__(self, number: str, kind: str = "execute_request") -> None:
        self.header = {"msg_type": kind, "msg_id": number}

    def get_parent(self, _: str) -> dict[str, Any]:
        return {"header": self.header}


@pytest.fixture
def shell() -> InteractiveShell:
    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.kernel = Asking("0")  # type: ignore[attr-defined]  # as ipykernel's shell has
    return made


def awaited_code(shell: InteractiveShell, awaited: Awaited, source: str) -> str:
    """The code that runs for a cell: rewritten if the kernel awaits it."""
    awaited.should_run_async(source, transformed_cell=source)
    return ast.unparse(awaited.visit(ast.parse(source)))


@pytest.mark.parametrize(
    "line",
    [
        "get_ipython().run_cell_magic('chain', '', 'a').output\n",
        "get_ipython().run_cell_magic('time', '', 'a')\n",
        "get_ipython().run_cell_magic('chain', '', a)\n",
        "get_ipython().run_cell_magic('chain', '', 'a', x=1)\n",
        "x = get_ipython().run_cell_magic('chain', '', 'a')\n",
    ],
)
def test_only_what_ipython_makes_of_our_cells_is_rewritten(shell, line):
    awaited = Awaited(shell, lambda name: name == "chain", "face.awaited")
    shell.kernel = Asking("1")
    assert awaited_code(shell, awaited, CELL) == "await get_ipython().face.awaited('chain', '--model x', 'a\\n')"
    assert awaited_code(shell, awaited, line) == line.rstrip()
    assert not awaited.should_run_async("(", transformed_cell="get_ipython().run_cell_magic('chain', '',\n")
    awaited.should_run_async(CELL, transformed_cell=CELL)
    assert ast.unparse(awaited.visit(ast.parse(line))) == line.rstrip()  # a cell that runs before it, in a hook
    awaited.begin()
    awaited.visit(ast.parse(CELL))
    assert awaited_code(shell, awaited, CELL) == CELL.rstrip()  # nested
    shell.kernel = Asking("2", "comm_msg")
    assert awaited_code(shell, awaited, CELL) == CELL.rstrip()


class NoArgument:
    def get_parent(self) -> dict[str, Any]:
        return {"header": {"msg_type": "execute_request", "msg_id": "1"}, "content": {"allow_stdin": False}}


class Failing:
    def get_parent(self, *_: object) -> dict[str, Any]:
        raise RuntimeError("no request")


class Odd:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def get_parent(self, *_: object) -> object:
        return self.answer


class NoMethod:
    pass


class NoCallable:
    get_parent = {"header": {}}  # noqa: RUF012 - one test


KERNELS = {
    "takes nothing": NoArgument(), "fails": Failing(), "gives None": Odd(None), "gives {}": Odd({}),
    "gives text": Odd("x"), "header is text": Odd({"header": "x"}), "no method": NoMethod(), "no callable": NoCallable(),
}  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_the_extension_works_in_kernels_of_other_kinds(shell, name):
    shell.kernel = KERNELS[name]
    header = current_request(shell).get("header", {})
    assert header == (NoArgument().get_parent()["header"] if name == "takes nothing" else {})
    shell.run_line_magic("load_ext", "orchmagic")
    try:
        shell.run_line_magic("config", "OrchMagic.model = 'scripted'")
        assert shell.run_cell("%%chain t --dry-run\nsay\n    hi\n").error_in_exec is None
    finally:
        shell.run_line_magic("unload_ext", "orchmagic")
    assert shell.should_run_async("1", transformed_cell="1") is False
