"""The names that a cell sees: those of the place where it stands, as in Python.

A cell of the notebook sees the notebook's variables. One that code runs (`run_cell_magic` in a function, a script of
`%run`, a module) sees the variables of that function, the functions around it, and its module.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_OWN = frozenset({"IPython", "orchmagic", "ipykernel"})


class NotebookNames(MutableMapping[str, object]):
    """The notebook's variables at the moment of each look-up: a shell of `IPython.embed()` gets others at each call."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def __getitem__(self, name: str) -> object:
        own = self._shell.user_ns
        return own[name] if name in own else self._shell.user_global_ns[name]

    def __setitem__(self, name: str, value: object) -> None:
        self._shell.user_ns[name] = value

    def __delitem__(self, name: str) -> None:
        del self._shell.user_ns[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._shell.user_global_ns, **self._shell.user_ns})

    def __len__(self) -> int:
        return len({*self._shell.user_global_ns, *self._shell.user_ns})


class ScopedNames(MutableMapping[str, object]):
    """The variables of several scopes, the innermost first; `unset` are names of functions without a value here.

    A new value becomes a variable of `binds`: those of a running function cannot be set from outside.
    """

    def __init__(
        self, scopes: Iterable[Mapping[str, object]], unset: frozenset[str], binds: MutableMapping[str, object]
    ) -> None:
        *self._inner, self._module = scopes
        self._unset = unset
        self._binds = binds

    def __setitem__(self, name: str, value: object) -> None:
        self._binds[name] = value

    def __delitem__(self, name: str) -> None:
        del self._binds[name]

    def __getitem__(self, name: str) -> object:
        for scope in self._inner:
            if name in scope:
                return scope[name]
        if name in self._unset:
            raise KeyError(name)
        return self._module[name]

    def __iter__(self) -> Iterator[str]:
        own = {name: None for scope in self._inner for name in scope}
        return iter({**own, **{n: None for n in self._module if n not in self._unset}})

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class CellPlace:
    """Where a cell stands: the `names` that it sees, None for those of the notebook, and where it `binds` its own."""

    names: MutableMapping[str, object] | None
    binds: MutableMapping[str, Any]


def place_of_cell(shell: InteractiveShell, notebook: Mapping[str, object]) -> CellPlace:
    """Returns the place of the code that runs the current cell."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OWN:
        frame = frame.f_back
    if frame is None or frame.f_locals is shell.user_ns:
        return CellPlace(None, shell.user_ns)
    is_notebook = frame.f_globals is shell.user_global_ns
    if frame.f_locals is frame.f_globals:
        return CellPlace(None, shell.user_ns) if is_notebook else CellPlace(frame.f_globals, frame.f_globals)
    around = [*_around(frame)]
    known = {name for f in around for name in f.f_locals}
    unset = {name for f in around for name in _own_names(f.f_code)} | _names_of_ended(around[-1])
    scopes = [*(dict(f.f_locals) for f in around), notebook if is_notebook else frame.f_globals]
    return CellPlace(ScopedNames(scopes, frozenset(unset - known), shell.user_ns), shell.user_ns)


def _around(frame: FrameType) -> Iterator[FrameType]:
    """Yields the frame and those of the functions around it in the text, as far as they are running."""
    inner: FrameType | None = frame
    while inner is not None and inner.f_locals is not inner.f_globals:
        yield inner
        code, outer = inner.f_code, inner.f_back
        while outer is not None and code not in outer.f_code.co_consts:
            outer = outer.f_back
        inner = outer


def _own_names(code: CodeType) -> set[str]:
    return {*code.co_varnames, *code.co_cellvars, *code.co_freevars}


def _names_of_ended(frame: FrameType) -> set[str]:
    """The variables of functions around the frame's that have returned: Python keeps only those that are mentioned."""
    *outer, _ = frame.f_code.co_qualname.split(".<locals>.")
    path = outer[0].split(".") if outer else []
    found: Any = frame.f_globals.get(path[0]) if path else None
    for name in path[1:]:
        found = getattr(found, name, None)
    code = getattr(getattr(found, "__wrapped__", found), "__code__", None)
    names: set[str] = set()
    for name in (*outer[1:], ""):
        if not isinstance(code, CodeType):
            break
        names |= _own_names(code)
        code = next((c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name), None)
    return names
