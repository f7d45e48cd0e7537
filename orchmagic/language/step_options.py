"""The options of a step, as in `extract(model=small, retry=2)`: how each is read, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchmagic.core.validators import keep
from orchmagic.language.cell import Value


def _number(value: Value) -> float:
    found = value.literal
    if isinstance(found, bool) or not isinstance(found, int | float) or found < 0:
        raise ValueError(value.source)
    return found


def _positive(value: Value) -> float:
    found = _number(value)
    if not 0 < found < float("inf"):
        raise ValueError(value.source)
    return found


def _whole(value: Value) -> int:
    found = _number(value)
    if found == float("inf") or found != int(found):
        raise ValueError(value.source)
    return int(found)


def _count(value: Value) -> int:
    if (found := _whole(value)) == 0:
        raise ValueError(value.source)
    return found


def _kept(value: Value) -> str:
    keep(value.word)
    return value.word


READ: dict[str, tuple[Callable[[Value], Any], str]] = {
    "model": (lambda v: v.word, "a model or alias: model=large"),
    "fallback": (lambda v: v.words, "one or more models: fallback=large"),
    "temperature": (_number, "a number: temperature=0.2"),
    "max_tokens": (_count, "a whole number, 1 or more: max_tokens=300"),
    "timeout": (_positive, "seconds, more than 0: timeout=30"),
    "retry": (_whole, "a whole number: retry=2"),
    "cache": (_kept, "a time, semantic, exact or off: cache=1d"),
    "when": (lambda v: v.expression, "a Python expression: when=extract.score > 3"),
    "over": (lambda v: v.expression, "a list, or what gives one: over=tickets"),
    "item": (lambda v: v.word, "a name for the item: item=ticket"),
    "votes": (_whole, "a whole number, 2 or more: votes=5"),
    "by": (lambda v: v.word, "the output that is compared: by=label"),
    "min": (_number, "the share that must agree, 0 to 1: min=0.6"),
    "run": (lambda v: v.word, "an orchestration of the notebook: run=triage"),
}
PLAIN = frozenset({"model", "fallback", "temperature", "max_tokens", "timeout", "retry", "cache", "when"})
AROUND = ("over", "item", "run", "when")  # what a step that runs an orchestration can have
