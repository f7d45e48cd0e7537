"""Copies the notebook's code into a module: functions and classes as written, imports, small constants.

Copies also everything that a definition needs, recursively. One ExportError lists all that cannot be copied.
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from orchmagic.errors import ExportError
from orchmagic.export import source_text
from orchmagic.export.formatting import assigned
from orchmagic.export.quoting import literal

_LARGEST = 20_000  # characters of a constant; larger values belong into a data file
_PLAIN = (str, int, float, bool, type(None))


class Copied:
    """The code copied into a module: `imports` maps a name to (module, name there), `blocks` are definitions.

    `left` lists what is not exported, `problems` what prevents the export.
    """

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self.namespace = namespace
        self.imports: dict[str, tuple[str, str]] = {}
        self.blocks: list[str] = []
        self.typed = True
        self.problems: list[str] = []
        self.left: list[str] = []
        self._seen: set[str] = set()
        self._ours: set[tuple[str, str]] = set()

    def take(self, wanted: Iterable[str], user: str, scope: Mapping[str, object] | None = None) -> None:
        """Copies the definitions of these names, which `user` (a step or function, for messages) uses."""
        for name in wanted:
            found = self._find(name, scope or {})
            if found is builtins:  # a builtin: nothing to copy
                continue
            if name not in self._seen:
                self._seen.add(name)
                self._take(name, found, user)

    def take_ours(self, wanted: Iterable[str], module: str) -> None:
        """Copies these names from a module of orchmagic, with all that they need."""
        space = vars(sys.modules[module])
        for name in wanted:
            if (module, name) in self._ours or name not in space:  # other names are builtins
                continue
            self._ours.add((module, name))
            origin = _origin(name, space[name])
            if origin and not origin[0].startswith("orchmagic"):
                self._import(name, origin)
                continue
            home = getattr(space[name], "__module__", module)
            if home != module and home.startswith("orchmagic."):  # imported from another module of orchmagic
                self.take_ours([name], home)
                continue
            source = source_text.of_module(name, module)
            self.take_ours(source_text.needs(source), module)
            self.blocks.append(source)

    def check(self) -> None:
        """Raises an ExportError with all recorded problems, if there are any."""
        if self.problems:
            raise ExportError("; ".join(dict.fromkeys(self.problems)))

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def _find(self, name: str, scope: Mapping[str, object]) -> object:
        missing = object()
        found = self.namespace.get(name, scope.get(name, missing))
        shell = str(getattr(found, "__module__", "")).startswith("IPython.core")  # IPython's own `open`
        if hasattr(builtins, name) and (found is missing or shell or found is getattr(builtins, name)):
            return builtins
        return _Missing if found is missing else found

    def _check_name(self, name: str, found: object) -> None:
        from orchmagic.export import naming  # noqa: PLC0415 - heavy: it reads sources

        origin = _origin(name, found)
        if name in naming.IMPORTS and origin in {(naming.IMPORTS[name], name), (name, "")}:
            return
        if name in naming.IMPORTS or name in naming.OWN or name in naming.LOCALS:
            self.problem(f"{name!r} is also a name that the module itself needs: rename it in the notebook")

    def _take(self, name: str, found: object, user: str) -> None:
        if found is _Missing:
            self.problem(f"{user} uses {name!r}, which the notebook does not define")
            return
        self._check_name(name, found)
        if origin := _origin(name, found):
            self._import(name, origin)
        elif isinstance(found, type):
            self._define(name, found.__name__, source_text.of_class(found, self.namespace), f"class {name!r}", {})
        elif inspect.isroutine(found) or hasattr(found, "__wrapped__"):
            self._function(name, found)
        else:
            self._constant(name, found, user)

    def _import(self, name: str, origin: tuple[str, str]) -> None:
        if self.imports.setdefault(name, origin) != origin:
            self.problem(f"{name!r} is also a name that the module itself needs: rename it in the notebook")

    def _function(self, name: str, found: Any) -> None:
        inner = inspect.unwrap(found)
        free = getattr(getattr(inner, "__code__", None), "co_freevars", ())
        if inspect.ismethod(found):
            self.problem(f"{name!r} is a method of an object of the notebook: write a function that does the same")
        elif getattr(inner, "__name__", "") == "<lambda>":
            self.problem(f"{name!r} is a lambda: write `def {name}(…): return …`")
        elif free:
            self.problem(f"{name!r} is a function that closes over {', '.join(free)}: pass them as arguments")
        else:
            source = source_text.of_function(found)
            if source is not None:
                source = self._unmarked(name, source, {**inner.__globals__, **self.namespace})
            self._define(name, inner.__name__, source, f"function {name!r}", inner.__globals__)

    def _unmarked(self, name: str, source: str, scope: Mapping[str, Any]) -> str:
        """Returns the function without orchmagic's decorators; notes what is lost with them."""
        source, marks = source_text.unmarked(source, scope)
        once = any("writes=True" in mark for mark in marks)
        self.left += [f"`writes=True` of `{name}`: here every call of it writes"] if once else []
        return source

    def _define(self, name: str, own: str, source: str | None, what: str, scope: Mapping[str, object]) -> None:
        if source is None:
            self.problem(f"the source of {what} is not known: define it in a cell")
            return
        self.take(source_text.needs(source), what, scope)
        self.typed = self.typed and source_text.is_typed(source)
        self.blocks.append(source)
        if own != name:
            self.blocks.append(f"{name} = {own}")

    def _constant(self, name: str, found: object, user: str) -> None:
        if is_constant(found) and len(literal(found)) <= _LARGEST:
            self.blocks.append("\n".join(assigned(name, found)))
        elif (alias := self._alias(found)) is not None:
            self.blocks.append(f"{name} = {alias}")
        elif isinstance(found, re.Pattern):
            self.take(["re"], user, {"re": re})
            flags = found.flags & ~re.UNICODE.value
            written = f"re.compile({found.pattern!r}{f', re.RegexFlag({flags})' if flags else ''})"
            self.blocks.append(f"{name} = {written}")
        else:
            big = " of that size" if is_constant(found) else ""
            self.problem(
                f"{user} uses {name!r}, {_kind(found)} of the notebook{big}: only functions, classes, modules and "
                f"small JSON-like constants can be copied; load it inside {user}"
            )

    def _alias(self, found: object) -> str | None:
        """Returns the source of a type such as `Literal["low"]` or `list[Ticket] | None`; None if it is not a type."""
        origin, args = get_origin(found), get_args(found)
        if origin is Literal:
            self.take(["Literal"], "a type", {"Literal": Literal})
            return f"Literal[{', '.join(map(literal, args))}]"
        if found is None or found is type(None):
            return "None"
        if origin is None and isinstance(found, type):
            self.take([found.__name__], f"the type {found.__name__}", {found.__name__: found})
            return found.__name__
        shown = [str(part) for a in args if (part := self._alias(a)) is not None]
        if not args or len(shown) < len(args):
            return None
        if origin in (Union, UnionType):
            return " | ".join(shown)
        outer = self._alias(origin)
        return outer and f"{outer}[{', '.join(shown)}]"


class _Missing:
    """Marker: the name is not defined."""


def is_constant(value: object) -> bool:
    """Whether a literal can represent it: text, numbers, None and plain containers of them."""
    match value:
        case dict():
            return type(value) is dict and all(is_constant(part) for pair in value.items() for part in pair)
        case list() | tuple() | set() | frozenset():
            return type(value) in {list, tuple, set, frozenset} and all(map(is_constant, value))
    return type(value) in _PLAIN and value not in (float("inf"), float("-inf")) and value == value  # noqa: PLR0124 - nan


def _origin(name: str, found: object) -> tuple[str, str] | None:
    """Returns (shortest module to import it from, name there); ("numpy", "") for a module; None: not importable."""
    if isinstance(found, ModuleType):
        parent, _, last = found.__name__.rpartition(".")
        return (parent, last) if parent and last == name else (found.__name__, "")
    module = getattr(found, "__module__", None)
    if not isinstance(module, str) or module in {"__main__", "builtins"}:
        return None
    own = getattr(found, "__qualname__", None) or getattr(found, "_name", None) or name
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        prefix = ".".join(parts[:end])
        for offered in (own, name):
            if isinstance(offered, str) and getattr(sys.modules.get(prefix), offered, None) is found:
                return prefix, offered
    return None


def _kind(found: object) -> str:
    kind = type(found).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
