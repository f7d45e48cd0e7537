"""Parses the guard rules of a project or a cell: `"secrets=block,pii:email=redact@input"` becomes Rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from orchmagic.errors import SettingsError, nearest
from orchmagic.guards import ACTIONS, GUARDS, PLACES, Action, Guard, GuardPlug, Place
from orchmagic.guards.notebook_function import FunctionGuard

STRICTNESS: tuple[Action, ...] = ("warn", "restore", "redact", "block")
"""The actions, the strictest last: where two rules for one guard meet, that one holds."""
RulesText: TypeAlias = str | Iterable[str] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A guard, the action for its findings, and the places it applies to; `roles` as in GuardPlug."""

    name: str
    action: Action
    places: tuple[Place, ...]
    guard: Guard
    roles: tuple[str, ...]
    argument: str = ""


def parse(
    text: RulesText, namespace: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Rule, ...]:
    """Parse `"secrets=block,pii=redact"`, a list of such words, or `{"secrets": "block"}`.

    A name that is not a guard's is a function in `namespace`. The guard `secrets` searches for values of `environ`.

    Raises:
        SettingsError: names every invalid rule.
    """
    rules: list[Rule] = []
    actions: dict[tuple[str, Place], tuple[str, Action]] = {}
    problems: list[str] = []
    for word in _words(text):
        try:
            rule = _rule(word, namespace or {}, environ or {})
            _check_conflict(word, rule, actions)
        except (ValueError, SettingsError) as error:
            problems.append(f"guard {word!r}: {error}")
        else:
            rules.append(rule)
    if problems:
        raise SettingsError("; ".join(problems))
    return tuple(rules)


def merge(project: Iterable[str], cell: Iterable[str]) -> tuple[str, ...]:
    """Combine rules for `parse`: the cell's, and the project's for guards that the cell does not name.

    The word `off` in the cell removes the project's rules.
    """
    cell_words = _words(cell)
    named = {_name(word) for word in cell_words}
    inherited = [] if "off" in cell_words else [word for word in _words(project) if _name(word) not in named]
    return (*inherited, *(word for word in cell_words if word != "off"))


def together(outer: Sequence[Rule], inner: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules of both; of two for the same guard and argument at one place, the stricter (see STRICTNESS)."""
    holds: dict[tuple[str, str, Place], Rule] = {}
    for rule in (*outer, *inner):
        for place in rule.places:
            other = holds.setdefault((rule.name, rule.argument, place), rule)
            if STRICTNESS.index(rule.action) > STRICTNESS.index(other.action):
                holds[rule.name, rule.argument, place] = rule
    places: dict[int, tuple[Rule, list[Place]]] = {}
    for (_, _, place), rule in holds.items():
        places.setdefault(id(rule), (rule, []))[1].append(place)
    return tuple(replace(rule, places=tuple(held)) for rule, held in places.values())


def _check_conflict(word: str, rule: Rule, actions: dict[tuple[str, Place], tuple[str, Action]]) -> None:
    """Check that one guard with one argument has one action at a place. `actions`: those of the earlier rules."""
    head = word.rpartition("=")[0]
    for place in rule.places:
        other, action = actions.setdefault((head, place), (word, rule.action))
        if action != rule.action:
            raise ValueError(f"{other!r} says something else for {place}: write one of them, or say where (@{place})")


def _name(word: str) -> str:
    return word.partition("=")[0].partition(":")[0]


def _words(text: RulesText) -> list[str]:
    if isinstance(text, Mapping):
        text = [f"{name}={action}" for name, action in text.items()]
    words = text.split(",") if isinstance(text, str) else text
    return [word.strip() for word in words if word.strip()]


def _rule(word: str, namespace: Mapping[str, object], environ: Mapping[str, str]) -> Rule:
    head, equals, tail = word.rpartition("=")
    if not equals:
        raise ValueError(f"write what to do: {word}=block, {word}=redact, {word}=restore or {word}=warn")
    action, _, where = tail.partition("@")
    if action not in ACTIONS:
        raise ValueError(f"write one of {', '.join(ACTIONS)} after the ={nearest(action, ACTIONS)}")
    name, _, argument = head.partition(":")
    plug = _plug(name, namespace)
    return Rule(
        name, action, _places(plug, action, where), plug.create(argument or None, environ), plug.roles, argument
    )


def _plug(name: str, namespace: Mapping[str, object]) -> GuardPlug:
    names = GUARDS.names()
    if name in names:
        return GUARDS.get(name)
    function = namespace.get(name)
    if callable(function):
        return GuardPlug(name, lambda argument, _: FunctionGuard(name, function, argument))
    raise SettingsError(f"write one of {', '.join(names)}, or define a function {name}(text){nearest(name, names)}")


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
