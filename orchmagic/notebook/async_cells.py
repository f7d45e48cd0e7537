"""Our cells are awaited where a kernel runs them: while a run goes on, the kernel hears clicks, and Stop works.

IPython shows what a cell magic returns, it does not await it; so the one line that it makes of `%%chain …` is
rewritten. Only the cell that a front end sends itself: nested ones (`%%time`, `run_cell_magic` in Python) have no
loop to go back to, and block. A cell is told from a nested one by its request: each begins once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_MADE = "get_ipython().run_cell_magic("  # how IPython writes a cell magic


class Awaited:
    """A transformer of cells. `ours(name)` says which magics are awaited, `call` is what is written instead."""

    has_side_effects = False  # IPython may ask for it as often as it likes

    def __init__(self, shell: InteractiveShell, ours: Callable[[str], bool], call: str) -> None:
        self._shell = shell
        self._ours = ours
        self._call = f"await get_ipython().{call}("
        self._begun = self._request()  # the cell that loads the extension is under way

    def __call__(self, lines: list[str]) -> list[str]:
        """The cell as it is run; any but ours as it was."""
        here = self._request()
        if here is None or here == self._begun or not self._can_wait() or not self._is_ours(lines):
            return lines
        return [self._call + lines[0].removeprefix(_MADE)]

    def begin(self) -> None:
        """A cell begins: what is transformed before the next request is inside it."""
        self._begun = self._request()

    def end(self, result: ExecutionResult | None) -> None:
        """A cell ended: `In` has the text of the user, not ours."""
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
        """Exactly what IPython makes of a cell of ours; a person may have written something like it."""
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
        """Whether cells may await, on asyncio: `%autoawait` switches both."""
        usual, _ = self._shell.loop_runner_map["asyncio"]
        return bool(self._shell.autoawait) and self._shell.loop_runner is usual

    def _request(self) -> str | None:
        """The request to run a cell that the kernel works on; None in a terminal, and while it handles a click."""
        header = current_request(self._shell).get("header", {})
        return header.get("msg_id") if header.get("msg_type") == "execute_request" else None


def current_request(shell: InteractiveShell) -> dict[str, Any]:
    """The message that the kernel answers now; empty where there is no kernel."""
    kernel = getattr(shell, "kernel", None)
    return (kernel.get_parent("shell") or {}) if kernel is not None else {}
