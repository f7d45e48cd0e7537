"""The IPython face: one cell magic per registered pattern, `%orch`, completion, views. Adapters without logic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from orchmagic import commands
from orchmagic.completion import matcher
from orchmagic.config import OrchMagic
from orchmagic.errors import OrchError
from orchmagic.options import HelpRequested
from orchmagic.patterns import PATTERNS, Pattern
from orchmagic.session import Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from orchmagic.orchestration import Orchestration
    from orchmagic.run import Run

_SESSION = "_orchmagic_session"


def load(shell: InteractiveShell) -> Session:
    """Register everything with `shell`; loading twice starts afresh."""
    unload(shell)
    config = OrchMagic(parent=shell)
    session = Session(shell.user_ns, config=config.chosen)
    config.observe(lambda _: session.reload())
    shell.configurables.append(config)  # type: ignore[arg-type]  # IPython's list is typed too narrowly
    setattr(shell, _SESSION, session)
    for pattern in PATTERNS:
        shell.register_magic_function(_cell_magic(pattern, shell, session, config), "line_cell", pattern.name)  # type: ignore[arg-type]  # untyped decorator
    shell.register_magic_function(_orch(session), "line", "orch")  # type: ignore[arg-type]  # untyped decorator
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(matcher(session))
    _register_views(shell)
    return session


def unload(shell: InteractiveShell) -> None:
    """Take the magics away and close the session."""
    session = getattr(shell, _SESSION, None)
    if session is None:
        return
    delattr(shell, _SESSION)
    session.close()
    shell.configurables[:] = [c for c in shell.configurables if not isinstance(c, OrchMagic)]
    if shell.Completer is not None:
        mine = [m for m in shell.Completer.custom_matchers if getattr(m, "orchmagic", False)]
        for found in mine:
            shell.Completer.custom_matchers.remove(found)
    for name in PATTERNS.names():
        shell.magics_manager.magics["cell"].pop(name, None)
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.magics["line"].pop("orch", None)


def _cell_magic(
    pattern: Pattern, shell: InteractiveShell, session: Session, config: OrchMagic
) -> Callable[[str, str | None], Run | None]:
    def magic(line: str, cell: str | None = None) -> Run | None:
        if cell is None:
            print(commands.help_text(pattern))  # noqa: T201 - `%chain` on a line of its own asks for help
            return None
        try:
            return _run_cell(pattern.name, line, cell, shell, session, live=config.live)
        except HelpRequested as help_:
            print(f"{help_}\n{pattern.example}")  # noqa: T201 - what the user asked to see
            return None
        except OrchError as error:
            raise UsageError(str(error)) from None

    magic.__doc__ = commands.help_text(pattern)
    magic.__name__ = pattern.name
    return no_var_expand(magic)


def _run_cell(
    pattern: str, line: str, cell: str, shell: InteractiveShell, session: Session, *, live: bool
) -> Run | None:
    made = session.define(pattern, line, cell)
    options = made.options
    if options.name:
        shell.user_ns[options.name] = made
    if options.dry_run:
        print(made.estimate().text())  # noqa: T201 - what the user asked to see
        return None
    missing = made.missing()
    if options.no_run or missing:
        _say_defined(made, missing)
        return None
    run = made.prepare()
    if options.background:
        run.start()
        return _shown(run, options.result, shell)
    _watch(run, shell, live=live)
    return _ended(run, options.result, shell)


def _watch(run: Run, shell: InteractiveShell, *, live: bool) -> None:
    if live and sys.stdout is not None:
        from orchmagic.live import watch  # noqa: PLC0415 - first run

        watch(run, in_kernel=getattr(shell, "kernel", None) is not None)
    run.start()
    with suppress(KeyboardInterrupt):  # the run has settled as cancelled: its trace is shown, and the cell fails
        run.wait()


def _ended(run: Run, result: str | None, shell: InteractiveShell) -> Run | None:
    """A run that ended well is the value of the cell; a failed or cancelled one is shown, and the cell fails."""
    if run.status in {"done", "capped", "waiting"}:
        return _shown(run, result, shell)
    from IPython.display import display  # noqa: PLC0415

    display(run)  # type: ignore[no-untyped-call]  # IPython's display is untyped
    raise UsageError(f"{run.name}: {run.error or f'run {run.id} was {run.status}'}")


def _shown(run: Run, result: str | None, shell: InteractiveShell) -> Run:
    if result:
        shell.user_ns[result] = run.output
    return run


def _say_defined(made: Orchestration, missing: list[str]) -> None:
    call = f"{made.__name__}({', '.join(f'{n}=…' for n in made.definition.inputs)})"
    why = f" It needs {', '.join(missing)}, not in the notebook yet." if missing else ""
    how = f"Run it with {call}." if made.options.name else "Give it a name on the magic line to run it later."
    print(f"Defined {made!r}.{why} {how}")  # noqa: T201 - the answer to the cell


def _orch(session: Session) -> Callable[[str], Any]:
    def orch(line: str) -> Any:
        try:
            return commands.run(session, line)
        except OrchError as error:
            raise UsageError(str(error)) from None

    orch.__doc__ = commands.overview()
    return no_var_expand(orch)


def _register_views(shell: InteractiveShell) -> None:
    formatter = shell.display_formatter
    if formatter is not None:
        formatter.ipython_display_formatter.for_type_by_name("orchmagic.run", "Run", _show_run)
        formatter.mimebundle_formatter.for_type_by_name("orchmagic.orchestration", "Orchestration", _graph_bundle)


def _show_run(run: Run) -> None:
    """Two displays: a front end shows one MIME type of each, and a person wants the answer and the figure."""
    from IPython.display import display  # noqa: PLC0415

    from orchmagic import answer, views  # noqa: PLC0415 - first display

    record = run.record
    for data in (answer.bundle(record), views.bundle(record)):
        display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped


def _graph_bundle(made: Orchestration, *_: object, **__: object) -> dict[str, Any]:
    from orchmagic import draw  # noqa: PLC0415 - first display

    return {
        "text/html": draw.svg(made.definition),
        "text/plain": f"{made!r}\n{draw.outline(made.definition)}",
    }
