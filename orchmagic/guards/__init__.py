"""The socket for guards: each looks at a text and says what it found, and a rule says what is done about it.

--guard secrets=block,pii=redact,injection=warn@tools       name[:argument]=action[@place+place]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from orchmagic.core.plugins import Registry
from orchmagic.errors import SettingsError, nearest

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
    """Finds what should not be there. `slow` ones (a person's own function) are asked in a thread."""

    slow: bool

    def find(self, text: str) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True)
class GuardPlug:
    """A guard as the registry finds it.

    `create(argument, environ)` makes one; its ValueError says what to write. `places` hold where the rule does not
    say; `roles` are the messages of a question that it reads: what a model is told by its author is no injection.
    """

    name: str
    create: Callable[[str | None, Mapping[str, str]], Guard]
    places: tuple[Place, ...] = PLACES
    roles: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")


GUARDS: Registry[GuardPlug] = Registry("orchmagic.guards.detectors", "plug", GuardPlug, "orchmagic.guards")


@dataclass(frozen=True, slots=True)
class Rule:
    """A guard and what is done about its findings, where."""

    name: str
    action: Action
    places: tuple[Place, ...]
    guard: Guard
    roles: tuple[str, ...]


Written: TypeAlias = str | Iterable[str] | Mapping[str, str]


def parse(
    written: Written, namespace: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Rule, ...]:
    """The rules of `"secrets=block,pii=redact"`, of a list of such words, or of `{"secrets": "block"}`.

    A name that is no guard's is a function of `namespace`. The secrets in `environ` are known to `secrets`.

    Raises:
        SettingsError: with all that is wrong.
    """
    rules: list[Rule] = []
    held: dict[tuple[str, Place], tuple[str, Action]] = {}
    problems: list[str] = []
    for word in _words(written):
        try:
            rule = _rule(word, namespace or {}, environ or {})
            _agree(word, rule, held)
        except (ValueError, SettingsError) as error:
            problems.append(f"guard {word!r}: {error}")
        else:
            rules.append(rule)
    if problems:
        raise SettingsError("; ".join(problems))
    return tuple(rules)


def _agree(word: str, rule: Rule, held: dict[tuple[str, Place], tuple[str, Action]]) -> None:
    """One guard with one argument does one thing at a place. `held` are the rules before, and then this one too."""
    head = word.rpartition("=")[0]
    for place in rule.places:
        other, action = held.setdefault((head, place), (word, rule.action))
        if action != rule.action:
            raise ValueError(f"{other!r} says something else for {place}: write one of them, or say where (@{place})")


def together(project: Iterable[str], cell: Iterable[str]) -> tuple[str, ...]:
    """Words for `parse`: the cell's rules, and of the project's those for guards that the cell does not name.

    `off` in the cell leaves only its own.
    """
    own = _words(cell)
    named = {_name(word) for word in own}
    kept = [] if "off" in own else [word for word in _words(project) if _name(word) not in named]
    return (*kept, *(word for word in own if word != "off"))


def find(guard: Guard, text: str) -> list[Finding]:
    """What a guard finds in a text as it is written, and as it is meant where it holds escapes of JSON.

    Of two readings of the same place the wider finding counts.
    """
    from orchmagic.guards.normalize import unescaped  # noqa: PLC0415 - it needs this room

    found = _within(guard.find(text), text)
    meant = [f for r in unescaped(text) for f in r.back(_within(guard.find(r.text), r.text))]
    return _widest([*found, *meant]) if meant else found


def _within(found: Iterable[Finding], text: str) -> list[Finding]:
    """Findings that have a character of the text, and no more than there are."""
    ends = (Finding(max(0, f.start), min(len(text), f.end), f.what) for f in found)
    return [f for f in ends if f.start < f.end]


def _widest(found: Iterable[Finding]) -> list[Finding]:
    """Those that lie in no other."""
    kept: list[Finding] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        if not kept or one.end > kept[-1].end:
            kept.append(one)
    return kept


def _name(word: str) -> str:
    return word.partition("=")[0].partition(":")[0]


def _words(written: Written) -> list[str]:
    if isinstance(written, Mapping):
        written = [f"{name}={action}" for name, action in written.items()]
    parts = written.split(",") if isinstance(written, str) else written
    return [part.strip() for part in parts if part.strip()]


def _rule(word: str, namespace: Mapping[str, object], environ: Mapping[str, str]) -> Rule:
    head, equals, tail = word.rpartition("=")
    if not equals:
        raise ValueError(f"write what to do: {word}=block, {word}=redact, {word}=restore or {word}=warn")
    action, _, where = tail.partition("@")
    if action not in ACTIONS:
        raise ValueError(f"write one of {', '.join(ACTIONS)} after the ={nearest(action, ACTIONS)}")
    name, _, argument = head.partition(":")
    plug = _plug(name, namespace)
    return Rule(name, action, _places(plug, action, where), plug.create(argument or None, environ), plug.roles)


def _plug(name: str, namespace: Mapping[str, object]) -> GuardPlug:
    from orchmagic.guards.notebook_function import Own  # noqa: PLC0415 - it needs this room

    names = GUARDS.names()
    if name in names:
        return GUARDS.get(name)
    function = namespace.get(name)
    if callable(function):
        return GuardPlug(name, lambda argument, _: Own(name, function, argument))
    close = nearest(name, names)
    raise SettingsError(f"write one of {', '.join(names)}, or define a function {name}(text){close}")


def _places(plug: GuardPlug, action: Action, where: str) -> tuple[Place, ...]:
    chosen = tuple(p.strip() for p in where.split("+")) if where else plug.places
    if chosen == ("all",):
        chosen = PLACES
    if wrong := [p for p in chosen if p not in PLACES]:
        raise ValueError(f"{wrong[0]!r} is no place: write {', '.join(PLACES)} or all{nearest(wrong[0], PLACES)}")
    if action == "restore":
        if where and chosen != ("input",):
            raise ValueError("restore holds for questions, and their answers get the values back: write restore@input")
        return ("input",)
    return tuple(p for p in PLACES if p in chosen)
