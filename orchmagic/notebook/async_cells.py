"""Makes the kernel await our cells, so that it still handles widget clicks and Stop during a run.

IPython does not await the result of a cell magic, so this rewrites the line that it generates from `%%chain …`.
Only a cell sent by the front end is rewritten: nested cells (`%%time`, `run_cell_magic` in Python) cannot await
and block. A nested cell has the same request as the outer one, which has already begun.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_MADE = "get_ipython().run_cell_magic("  # how IPython writes a cell magic


class Awaited:
    """An IPython input transformer. `ours(name)` says if a magic is awaited; `call` is the code to call instead."""

    has_side_effects = False  # IPython may call it repeatedly

    def __init__(self, shell: InteractiveShell, ours: Callable[[str], bool], call: str) -> None:
        self._shell = shell
        self._ours = ours
        self._call = f"await get_ipython().{call}("
        self._begun = self._request()  # the cell that loads the extension is running

    def __call__(self, lines: list[str]) -> list[str]:
        """Returns the code to run; other cells are unchanged."""
        here = self._request()
        if here is None or here == self._begun or not self._can_wait() or not self._is_ours(lines):
            return lines
        return [self._call + lines[0].removeprefix(_MADE)]

    def begin(self) -> None:
        """Marks the start of a cell: code transformed until the next request is nested in it."""
        self._begun = self._request()

    def end(self, result: ExecutionResult | None) -> None:
        """Restores the user's text in `In` after a cell has ended."""
        known = self._shell.history_manager
        number = result.execution_count if result is not None else None
        if known is None or number is None or number >= len(known.input_hist_parsed):
            return
        if known.input_hist_parsed[number].startswith(self._call):
            known.input_hist_parsed[number] = known.input_hist_raw[number]

    def register(self) -> None:
        self._shell.input_transformers_post.append(self)
        self._shell.events.register("pre_execute", self.begin)
        self._shell.events.register("post_run_cell", self.end)

    def unregister(self) -> None:
        self._shell.input_transformers_post.remove(self)
        self._shell.events.unregister("pre_execute", self.begin)
        self._shell.events.unregister("post_run_cell", self.end)

    def _is_ours(self, lines: list[str]) -> bool:
        """Whether the lines are exactly IPython's translation of one of our cells, not similar code by the user."""
        if len(lines) != 1 or not lines[0].startswith(_MADE):
            return False
        try:
            match ast.parse(lines[0]).body:
                case [ast.Expr(ast.Call(args=[ast.Constant(str(name)), ast.Constant(), ast.Constant()], keywords=[]))]:
                    return self._ours(name)
        except SyntaxError:
            pass
        return False

    def _can_wait(self) -> bool:
        """Whether cells may use `await` on asyncio, as set by `%autoawait`."""
        usual, _ = self._shell.loop_runner_map["asyncio"]
        return bool(self._shell.autoawait) and self._shell.loop_runner is usual

    def _request(self) -> str | None:
        """The id of the current execute request; None in a terminal and while the kernel handles a click."""
        header = current_request(self._shell).get("header", {})
        return header.get("msg_id") if header.get("msg_type") == "execute_request" else None


def current_request(shell: InteractiveShell) -> dict[str, Any]:
    """The message that the kernel is handling; empty without a kernel."""
    kernel = getattr(shell, "kernel", None)
    return (kernel.get_parent("shell") or {}) if kernel is not None else {}
