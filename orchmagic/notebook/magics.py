"""The IPython extension: one cell magic per registered pattern, `%orch`, completion, views. Adapters without logic.

Loading the extension registers names and imports very little; the session starts at first use.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from IPython.core.magic import no_var_expand

from orchmagic.errors import CellError, OrchError, Problem, RunError
from orchmagic.notebook.async_cells import Awaited, current_cell, current_request
from orchmagic.notebook.cell_place import NotebookNames, place_of_cell
from orchmagic.notebook.config import OrchMagic
from orchmagic.notebook.evaluate_magic import EvaluateMagic
from orchmagic.notebook.idle_imports import IdleImports
from orchmagic.notebook.one_question import OneQuestionAtATime
from orchmagic.notebook.orchtest_magic import OrchtestMagic
from orchmagic.patterns import PATTERNS

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from orchmagic.evaluation.result import Result
    from orchmagic.notebook.execution import Execution
    from orchmagic.runtime.orchestration import Orchestration
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session

# ruff: noqa: PLC0415 - imports are local so that `%load_ext` stays fast
_FACE = "_orchmagic_face"


class Face:
    """Everything that the extension registers with one IPython shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.config = OrchMagic(parent=shell)
        self.config.observe(self._reload, names=[*self.config.trait_names(config=True)])  # once per `%config`
        self.completer = _completer(self)
        self.transformer = Awaited(shell, self._awaits, f"{_FACE}.awaited")
        self.input = OneQuestionAtATime(getattr(shell, "kernel", None))
        self.begun: list[Execution] = []  # executions of the current cell
        self.names = NotebookNames(shell)
        self.imports = IdleImports()

    @cached_property
    def session(self) -> Session:
        """The session, created by the first cell or command."""
        from orchmagic.runtime.session import Session

        return Session(self.names, config=self.config.chosen, cell=partial(current_cell, self.shell))

    def _reload(self, _: object) -> None:
        if "session" in self.__dict__:
            try:
                self.session.reload()
            except OrchError as error:  # IPython would log it as ERROR:root
                self.shell.show_usage_error(error)  # type: ignore[no-untyped-call]  # untyped there

    @property
    def in_kernel(self) -> bool:
        """Whether this is a kernel with rich displays, not a terminal."""
        return getattr(self.shell, "kernel", None) is not None

    @property
    def has_buttons(self) -> bool:
        """Whether to show buttons: false if the front end allows no input (nbclient) or ipywidgets is missing."""
        from importlib.util import find_spec

        person = current_request(self.shell).get("content", {}).get("allow_stdin", True)
        return self.in_kernel and bool(person) and find_spec("ipywidgets") is not None

    @property
    def draws_cards(self) -> bool:
        """Whether the front end draws our own MIME type: JupyterLab or Notebook 7, with our extension."""
        from jupyter_core.paths import jupyter_path

        # JupyterLab and Notebook 7 tell with each cell which ones were deleted; other front ends do not
        if "deletedCells" not in current_request(self.shell).get("metadata", {}):
            return False
        return any(Path(folder, "orchmagic", "package.json").is_file() for folder in jupyter_path("labextensions"))

    def _awaits(self, name: str) -> bool:
        return isinstance(self.shell.magics_manager.magics["cell"].get(name), CellMagic)

    async def awaited(self, name: str, line: str, cell: str) -> Run | Result | None:
        """Replaces IPython's `run_cell_magic` for cells that are awaited."""
        if not cell:
            self.shell.run_cell_magic(name, line, cell)  # type: ignore[no-untyped-call]  # untyped; says so
        magic: CellMagic = self.shell.magics_manager.magics["cell"][name]
        return await magic.awaited(line, cell)

    def show(self, run: Run) -> None:
        """Shows the result, and clears what is left of the progress."""
        from orchmagic.notebook.execution import show

        begun = next((e for e in self.begun if e.run is run), None)
        if begun is None or not begun.shown:
            show(run, begun, as_card=self.draws_cards)
        self.clear()

    def clear(self, *_: object) -> None:
        """Clears the progress displays of the current cell."""
        begun, self.begun = self.begun, []
        for execution in begun:
            execution.clear()

    def close(self) -> None:
        """Closes the session, which stops active runs."""
        self.imports.stop()
        if "session" in self.__dict__:
            self.session.close()


class PatternMagic:
    """The cell magic of one pattern, such as `%%chain`; the line `%chain` shows its help, as `%%chain?` does."""

    def __init__(self, name: str, face: Face) -> None:
        self.__name__ = name
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # built on demand, not when the extension loads
        from orchmagic.notebook.commands import help_text

        return help_text(PATTERNS.get(self.__name__))

    def __call__(self, line: str, cell: str | None = None) -> Run | None:
        """Runs the cell and blocks: in a terminal, in a script, and inside other magics."""
        if cell is None:
            print(self.__doc__)  # noqa: T201 - what the user asked to see
            return None
        with self._reported():
            begun = _begin(self.__name__, line, cell, self._face, awaited=False)
            if begun is not None and not begun.background:
                with suppress(KeyboardInterrupt):  # the run is reported as cancelled
                    begun.run.wait()
            return None if begun is None else _end(begun, self._face)
        return None

    async def awaited(self, line: str, cell: str) -> Run | None:
        """Runs the cell without blocking the kernel."""
        with self._reported():
            begun = _begin(self.__name__, line, cell, self._face, awaited=True)
            if begun is not None and not begun.background:
                with suppress(CancelledError):  # as above
                    await begun.run.ended()
            return None if begun is None else _end(begun, self._face)
        return None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Prints requested help. An OrchError passes: IPython shows its message, and the cell counts as failed."""
        from orchmagic.language.magic_line import HelpRequested

        try:
            yield
        except HelpRequested:
            print(self.__doc__)  # noqa: T201 - what the user asked to see


CellMagic: TypeAlias = PatternMagic | EvaluateMagic | OrchtestMagic


class OrchCommand:
    """The line magic `%orch COMMAND`."""

    __name__ = "orch"

    def __init__(self, face: Face) -> None:
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # as above
        from orchmagic.notebook.commands import overview

        return overview()

    def __call__(self, line: str) -> Any:
        from orchmagic.notebook import commands

        return commands.run(self._face.session, line)


def load(shell: InteractiveShell) -> Face:
    """Registers everything with `shell`; a second load replaces the first."""
    unload(shell)
    face = Face(shell)
    setattr(shell, _FACE, face)
    shell.configurables.append(face.config)  # type: ignore[arg-type]  # IPython's list is typed too narrowly
    for name in PATTERNS.names():
        _register(shell, PatternMagic(name, face), "line_cell")
    _register(shell, EvaluateMagic(face), "line_cell")
    _register(shell, OrchtestMagic(face), "line_cell")
    _register(shell, OrchCommand(face), "line")
    face.transformer.register()
    face.input.register()
    shell.events.register("post_run_cell", face.clear)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(face.completer)
    for formatter, module, name, view in _views(shell):
        formatter.for_type_by_name(module, name, view)
    face.imports.start()
    return face


def unload(shell: InteractiveShell) -> None:
    """Removes the magics and stops active runs."""
    face: Face | None = getattr(shell, _FACE, None)
    if face is None:
        return
    delattr(shell, _FACE)
    face.close()
    face.transformer.unregister()
    face.input.unregister()
    shell.events.unregister("post_run_cell", face.clear)
    shell.configurables[:] = [c for c in shell.configurables if not isinstance(c, OrchMagic)]
    for formatter, module, name, _ in _views(shell):
        formatter.pop(f"{module}.{name}", None)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.remove(face.completer)
    for kind, known in shell.magics_manager.magics.items():
        for name in (*PATTERNS.names(), EvaluateMagic.__name__, OrchtestMagic.__name__, "orch"):
            if kind in {"line", "cell"} and isinstance(known.get(name), CellMagic | OrchCommand):
                del known[name]


def _views(shell: InteractiveShell) -> list[tuple[Any, str, str, Callable[..., Any]]]:
    """How objects are displayed: IPython's formatter, module and name of the class, and our function."""
    if shell.display_formatter is None:
        return []
    display, bundle = shell.display_formatter.ipython_display_formatter, shell.display_formatter.mimebundle_formatter
    return [
        (display, "orchmagic.runtime.run", "Run", _show),
        (display, "orchmagic.evaluation.result", "Result", _show_result),
        # LangGraph's own display sends the graph to mermaid.ink; ours is drawn locally
        (bundle, "langgraph.graph.state", "CompiledStateGraph", _langgraph_bundle),
        (bundle, "orchmagic.runtime.orchestration", "Orchestration", _graph_bundle),
    ]


def _register(shell: InteractiveShell, magic: CellMagic | OrchCommand, kind: str) -> None:
    # without no_var_expand IPython would turn {{model}} into {model} and $0.05 into 0.05
    shell.register_magic_function(no_var_expand(magic), kind, magic.__name__)  # type: ignore[arg-type]  # untyped


def _begin(pattern: str, line: str, cell: str, face: Face, *, awaited: bool) -> Execution | None:
    """Reads the cell and starts its run; None if the cell is only defined or estimated."""
    place = place_of_cell(face.shell, face.names)
    made = face.session.define(pattern, line, cell, place.names)
    if made.options.name:
        _check_unused(made.options.name, f"%%{pattern} {line}", place.binds)
        place.binds[made.options.name] = made
    if made.options.dry_run and made.options.over is None:
        print(made.estimate().text())  # noqa: T201 - what the user asked to see
        return None
    if made.options.over is not None and not made.options.no_run:
        from orchmagic.notebook.over_rows import over_rows

        over_rows(made, place, face)
        return None
    missing = made.missing()
    if made.options.no_run or missing:
        _say_defined(made, missing)
        return None
    from orchmagic.notebook.execution import Execution
    from orchmagic.notebook.live_display import announced

    as_card = face.in_kernel and face.draws_cards
    with announced(made.definition, as_card=as_card) if face.in_kernel and face.config.live else nullcontext() as early:
        run = made.prepare()
    begun = Execution(run, made.options, early)
    if face.in_kernel:
        begun.in_kernel(progress=face.config.live, awaited=awaited, buttons=face.has_buttons, as_card=as_card)
    else:
        begun.in_terminal(progress=face.config.live)
    face.begun.append(begun)
    begun.start()
    return begun


def _check_unused(name: str, line: str, namespace: Mapping[str, object]) -> None:
    """Raises CellError if a value of the notebook has the cell's name: binding it would lose the value."""
    from orchmagic.graph.builder import is_code
    from orchmagic.graph.composition import definition

    if name not in namespace or definition(namespace[name]):
        return
    value = namespace[name]
    type_ = type(value).__name__
    article = "an" if type_[0] in "aeiouAEIOU" else "a"
    kind = f"{article} {type_}" if not is_code(value) else "a function, class or module"
    write = f"Give the cell another name, such as {name}_cell, or delete the value: del {name}"
    found = f"{name!r} is {kind} of the notebook, which the cell would replace"
    raise CellError([Problem(1, line.index(name, line.index(" ")), found, write, line)])


def _end(begun: Execution, face: Face) -> Run:
    """Returns the run; if it failed or was cancelled, shows it and fails the cell."""
    run = begun.run
    if run.status == "waiting" and run.result_name:
        print(f"{run.result_name} has no value yet: it gets the output when the question is answered.")  # noqa: T201 - for the user
    if run.status in {"failed", "cancelled"}:
        from orchmagic.trace import marks

        face.show(run)
        raise RunError(f"{run.name}: {run.error or f'run {run.id} was {marks.by_name(run.status).word.lower()}'}")
    return run


def _say_defined(made: Orchestration, missing: list[str]) -> None:
    call = f"{made.__name__}({', '.join(f'{n}=…' for n in made.definition.inputs)})"
    hint = next(filter(None, map(made.nearest_variable, missing)), ".")
    why = f" It needs {', '.join(missing)}, not in the notebook yet{hint}" if missing else ""
    how = f"Run it with {call}." if made.options.name else "Give it a name on the magic line to run it later."
    print(f"Defined {made!r}.{why} {how}")  # noqa: T201 - the answer to the cell


def _completer(face: Face) -> Callable[[CompletionContext], Any]:
    from IPython.core.completer import context_matcher

    @context_matcher(identifier="orchmagic")  # type: ignore[untyped-decorator]  # IPython's decorator is untyped
    def orchmagic(context: CompletionContext) -> Any:
        if not context.full_text.startswith("%%"):
            return {"completions": [], "suppress": False}
        from orchmagic.notebook.completion import matches

        return matches(face.session, context)

    return orchmagic  # type: ignore[no-any-return]  # as above


def _show(run: Run) -> None:
    # IPython keeps the first formatter of a type, so look up the current Face: it is replaced by a second load
    from IPython.core.getipython import get_ipython

    face: Face = getattr(get_ipython(), _FACE)
    face.show(run)


def _show_result(result: Result) -> None:
    """Shows the table, and below it the picture; in a terminal the text."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    face: Face = getattr(get_ipython(), _FACE)
    if not face.in_kernel:
        print(result)  # noqa: T201 - a terminal shows no picture
        return
    for bundle in result.bundles():
        display(bundle, raw=True)  # type: ignore[no-untyped-call]  # untyped there


def _graph_bundle(made: Orchestration, *_: object, **__: object) -> dict[str, Any]:
    from orchmagic.graph import draw

    return {"text/html": draw.svg(made.definition), "text/plain": f"{made!r}\n{draw.outline(made.definition)}"}


def _langgraph_bundle(compiled: Any, *_: object, **__: object) -> dict[str, Any]:
    return {"text/plain": compiled.get_graph().draw_mermaid()}
