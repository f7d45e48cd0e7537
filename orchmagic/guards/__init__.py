"""The guard plug-in interface: a guard returns findings in a text; a rule says which action they trigger.

--guard secrets=block,pii=redact,injection=warn@tools       name[:argument]=action[@place+place], see `rules`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from orchmagic.core.plugins import Registry

Action: TypeAlias = Literal["block", "redact", "restore", "warn"]
Place: TypeAlias = Literal["input", "output", "tools"]

ACTIONS: tuple[Action, ...] = get_args(Action)
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A span of a text, characters `start` to `end` (exclusive); `what` is its kind ("card"), never the text."""

    start: int
    end: int
    what: str


class Guard(Protocol):
    """Finds spans that must not be in a text. A guard with `slow` set (a notebook function) runs in a thread."""

    slow: bool

    def find(self, text: str) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True)
class GuardPlug:
    """The registry entry of a guard.

    `create(argument, environ)` builds the guard, or raises a ValueError that says what to write. `places` are the
    default of a rule. The guard reads only messages with these `roles`: the cell's own system messages may be exempt.
    """

    name: str
    create: Callable[[str | None, Mapping[str, str]], Guard]
    places: tuple[Place, ...] = PLACES
    roles: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")


GUARDS: Registry[GuardPlug] = Registry("orchmagic.guards.detectors", "plug", GuardPlug, "orchmagic.guards")
