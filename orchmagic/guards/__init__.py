"""The socket for guards: a guard looks at a text and returns findings; a rule says what is done about them.

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
    """Characters `start` to `end` of a text are a `what` ("card", "aws access key"): the kind, never the text."""

    start: int
    end: int
    what: str


class Guard(Protocol):
    """Finds what must not be in a text. A `slow` guard (a function of the notebook) runs in a thread."""

    slow: bool

    def find(self, text: str) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True)
class GuardPlug:
    """A guard as the registry finds it.

    `create(argument, environ)` makes one; its ValueError says what to write. `places` hold if the rule names none;
    `roles` are the roles of the messages that it reads: what the author of a cell tells a model is no injection.
    """

    name: str
    create: Callable[[str | None, Mapping[str, str]], Guard]
    places: tuple[Place, ...] = PLACES
    roles: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")


GUARDS: Registry[GuardPlug] = Registry("orchmagic.guards.detectors", "plug", GuardPlug, "orchmagic.guards")
