"""The IPython face: one cell magic per registered pattern, `%orch`, completion, views. Adapters without logic.

Loading registers names and imports next to nothing; the session and all behind it start with the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from orchmagic.config import OrchMagic
from orchmagic.errors import OrchError
from orchmagic.patterns import PATTERNS

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from orchmagic.orchestration import Orchestration
    from orchmagic.run import Run
    from orchmagic.session import Session

# ruff: noqa: PLC0415 - every import inside a function is there so that `%load_ext` stays fast
_FACE = "_orchmagic_face"


class Face:
    """What is registered with one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.config = OrchMagic(parent=shell)
        self.config.observe(self._reload)
        self.completer = _completer(self)

    @cached_property
    def session(self) -> Session:
        """Starts with the first cell or command."""
        from orchmagic.session import Session

        return Session(self.shell.user_ns, config=self.config.chosen)

    def _reload(self, _: object) -> None:
        if "session" in self.__dict__:
            self.session.reload()

    @property
    def in_kernel(self) -> bool:
        """Whether there is a front end with displays, not a terminal."""
        return getattr(self.shell, "kernel", None) is not None

    def close(self) -> None:
        """Stop what runs."""
        if "session" in self.__dict__:
            self.session.close()


class PatternMagic:
    """`%%chain` and its siblings; `%chain` on a line of its own shows its help, as `%%chain?` does."""

    def __init__(self, name: str, face: Face) -> None:
        self.__name__ = name
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # read when somebody asks, not when the extension loads
        from orchmagic.commands import help_text

        return help_text(PATTERNS.get(self.__name__))

    def __call__(self, line: str, cell: str | None = None) -> Run | None:
        from orchmagic.options import HelpRequested

        if cell is None:
            print(self.__doc__)  # noqa: T201 - what the user asked to see
            return None
        try:
            return _run_cell(self.__name__, line, cell, self._face)
        except HelpRequested:
            print(self.__doc__)  # noqa: T201 - what the user asked to see
            return None
        except OrchError as error:
            raise UsageError(str(error)) from None


class OrchCommand:
    """`%orch COMMAND`."""

    __name__ = "orch"

    def __init__(self, face: Face) -> None:
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # as above
        from orchmagic.commands import overview

        return overview()

    def __call__(self, line: str) -> Any:
        from orchmagic import commands

        try:
            return commands.run(self._face.session, line)
        except OrchError as error:
            raise UsageError(str(error)) from None


def load(shell: InteractiveShell) -> Face:
    """Register everything with `shell`; loading twice starts afresh."""
    unload(shell)
    face = Face(shell)
    setattr(shell, _FACE, face)
    shell.configurables.append(face.config)  # type: ignore[arg-type]  # IPython's list is typed too narrowly
    for name in PATTERNS.names():
        _register(shell, PatternMagic(name, face), "line_cell")
    _register(shell, OrchCommand(face), "line")
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(face.completer)
    if shell.display_formatter is not None:
        views = shell.display_formatter
        views.ipython_display_formatter.for_type_by_name("orchmagic.run", "Run", _show_run)
        # LangGraph's own display sends the graph to mermaid.ink; this one stays on the machine
        views.mimebundle_formatter.for_type_by_name("langgraph.graph.state", "CompiledStateGraph", _langgraph_bundle)
        views.mimebundle_formatter.for_type_by_name("orchmagic.orchestration", "Orchestration", _graph_bundle)
    return face


def unload(shell: InteractiveShell) -> None:
    """Take the magics away and stop what runs."""
    face: Face | None = getattr(shell, _FACE, None)
    if face is None:
        return
    delattr(shell, _FACE)
    face.close()
    shell.configurables[:] = [c for c in shell.configurables if not isinstance(c, OrchMagic)]
    if shell.Completer is not None:
        shell.Completer.custom_matchers.remove(face.completer)
    for kind, known in shell.magics_manager.magics.items():
        for name in (*PATTERNS.names(), "orch"):
            if kind in {"line", "cell"} and isinstance(known.get(name), PatternMagic | OrchCommand):
                del known[name]


def _register(shell: InteractiveShell, magic: PatternMagic | OrchCommand, kind: str) -> None:
    # without no_var_expand IPython would turn {{model}} into {model} and $0.05 into 0.05
    shell.register_magic_function(no_var_expand(magic), kind, magic.__name__)  # type: ignore[arg-type]  # untyped


def _run_cell(pattern: str, line: str, cell: str, face: Face) -> Run | None:
    made = face.session.define(pattern, line, cell)
    options = made.options
    if options.name:
        face.shell.user_ns[options.name] = made
    if options.dry_run:
        print(made.estimate().text())  # noqa: T201 - what the user asked to see
        return None
    missing = made.missing()
    if options.no_run or missing:
        _say_defined(made, missing)
        return None
    run = made.prepare()
    if not options.background and face.config.live:
        from orchmagic.live import watch

        watch(run, in_kernel=face.in_kernel)
    run.start()
    if not options.background:
        run.settled()
    if options.result:
        face.shell.user_ns[options.result] = run.output
    if run.status in {"failed", "cancelled"}:
        _show_run(run)
        raise UsageError(f"{run.name}: {run.error or f'run {run.id} was {run.status}'}")
    return run


def _say_defined(made: Orchestration, missing: list[str]) -> None:
    call = f"{made.__name__}({', '.join(f'{n}=…' for n in made.definition.inputs)})"
    why = f" It needs {', '.join(missing)}, not in the notebook yet." if missing else ""
    how = f"Run it with {call}." if made.options.name else "Give it a name on the magic line to run it later."
    print(f"Defined {made!r}.{why} {how}")  # noqa: T201 - the answer to the cell


def _completer(face: Face) -> Callable[[CompletionContext], Any]:
    from IPython.core.completer import context_matcher

    @context_matcher(identifier="orchmagic")  # type: ignore[untyped-decorator]  # IPython's decorator is untyped
    def orchmagic(context: CompletionContext) -> Any:
        if not context.full_text.startswith("%%"):
            return {"completions": [], "suppress": False}
        from orchmagic.completion import matches

        return matches(face.session, context)

    return orchmagic  # type: ignore[no-any-return]  # as above


def _show_run(run: Run) -> None:
    """Two displays: a front end shows one MIME type of each, and a person wants the answer and the figure."""
    from IPython.display import display

    from orchmagic import answer, views

    record = run.record
    for data in (answer.bundle(record), views.bundle(record)):
        display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped
    if run.waiting is not None:
        from orchmagic import approval

        approval.show(run)


def _graph_bundle(made: Orchestration, *_: object, **__: object) -> dict[str, Any]:
    from orchmagic import draw

    return {"text/html": draw.svg(made.definition), "text/plain": f"{made!r}\n{draw.outline(made.definition)}"}


def _langgraph_bundle(compiled: Any, *_: object, **__: object) -> dict[str, Any]:
    return {"text/plain": compiled.get_graph().draw_mermaid()}
