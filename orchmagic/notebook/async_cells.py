"""Makes the kernel await our cells, so that it still handles widget clicks and Stop during a run.

IPython does not await the result of a cell magic. So this says that such a cell needs the kernel's loop, and rewrites
the syntax tree of the line that IPython generates from `%%chain …`. Its text stays: `In`, `%macro`, `%save` and logs
hold Python that runs anywhere.
Only a cell sent by the front end is rewritten: nested cells (`%%time`, `run_cell_magic` in Python) cannot await
and block. A nested cell has the same request as the outer one, which has already begun.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MADE = "get_ipython().run_cell_magic("  # how IPython writes a cell magic


class Awaited:
    """An IPython AST transformer. `ours(name)` says if a magic is awaited; `call` is the method to call instead."""

    def __init__(self, shell: InteractiveShell, ours: Callable[[str], bool], call: str) -> None:
        self._shell = shell
        self._ours = ours
        self._call = ast.parse(f"get_ipython().{call}", mode="eval").body
        self._begun = self._request()  # the cell that loads the extension is running
        self._usual: Callable[..., bool] = shell.should_run_async
        self._next: str | None = None  # the dump of the cell that is awaited next

    def should_run_async(self, raw_cell: str, **given: Any) -> bool:
        """Whether a cell needs the kernel's loop, as the kernel asks before it runs one."""
        here, tree = self._request(), self._own_cell(given.get("transformed_cell") or "")
        if tree is None or here is None or here == self._begun or not self._can_wait():
            return self._usual(raw_cell, **given)
        self._next = ast.dump(tree)
        return True

    def visit(self, node: ast.AST) -> ast.AST:
        """Makes the cell that was announced call and await our method; other cells are unchanged."""
        match node:
            case ast.Module(body=[ast.Expr(value=ast.Call() as call) as line]) if ast.dump(node) == self._next:
                self._next = None
                line.value = ast.copy_location(ast.Await(call), call)
                call.func = ast.copy_location(self._call, call.func)
        return node

    def begin(self) -> None:
        """Marks the start of a cell: what runs until the next request is nested in it."""
        self._begun = self._request()

    def register(self) -> None:
        self._shell.ast_transformers.append(self)  # type: ignore[arg-type]  # IPython takes what has `visit`
        self._shell.should_run_async = self.should_run_async  # type: ignore[method-assign]  # there is no hook
        self._shell.events.register("pre_execute", self.begin)

    def unregister(self) -> None:
        self._shell.ast_transformers.remove(self)  # type: ignore[arg-type]  # as above
        self._shell.should_run_async = self._usual  # type: ignore[method-assign]  # as above
        self._shell.events.unregister("pre_execute", self.begin)

    def _own_cell(self, source: str) -> ast.Module | None:
        """The tree of IPython's translation of one of our cells; None for other code, even if it is similar."""
        if not source.startswith(_MADE):
            return None
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return None
        match tree.body:
            case [ast.Expr(ast.Call(args=[ast.Constant(str(name)), ast.Constant(), ast.Constant()], keywords=[]))]:
                return tree if self._ours(name) else None
        return None

    def _can_wait(self) -> bool:
        """Whether cells may use `await` on asyncio, as set by `%autoawait`."""
        usual, _ = self._shell.loop_runner_map["asyncio"]
        return bool(self._shell.autoawait) and self._shell.loop_runner is usual

    def _request(self) -> str | None:
        """The id of the current execute request; None in a terminal and while the kernel handles a click."""
        header = current_request(self._shell).get("header", {})
        return header.get("msg_id") if header.get("msg_type") == "execute_request" else None


def current_request(shell: InteractiveShell) -> dict[str, Any]:
    """The message that the kernel is handling; empty without a kernel, and if the kernel does not tell.

    ipykernel's `get_parent` takes the channel, that of xeus-python nothing; older kernels have none.
    """
    get_parent = getattr(getattr(shell, "kernel", None), "get_parent", None)
    message: Any = None
    for channel in (("shell",), ()):
        with suppress(Exception):  # a kernel of another kind: the cell then blocks, as in a terminal
            message = message or (get_parent(*channel) if callable(get_parent) else None)
    return message if isinstance(message, dict) and isinstance(message.get("header"), dict) else {}


def current_cell(shell: InteractiveShell) -> tuple[str, str]:
    """The ids of the cell that runs and of its execution; "" if the front end does not tell."""
    request = current_request(shell)
    return str(request.get("metadata", {}).get("cellId") or ""), str(request.get("header", {}).get("msg_id") or "")
