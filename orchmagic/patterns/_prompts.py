"""Prompts of a cell that a pattern reads or adds to: what they name, what they ask, what the model must also know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchmagic.language import template
from orchmagic.language.template import Message


def read(messages: Iterable[Message]) -> frozenset[str]:
    """The names that the messages use."""
    return frozenset().union(*(template.names(m.text) for m in messages))


def append_context(messages: Sequence[Message], names: Iterable[str], text: str) -> tuple[Message, ...]:
    """The messages with `text` behind the last one, unless they use one of `names` by themselves."""
    if not messages or read(messages) & set(names):
        return tuple(messages)
    last = messages[-1]
    return (*messages[:-1], replace(last, text=f"{last.text}{text}"))


def task(messages: Iterable[Message]) -> str:
    """What the messages ask for, as one template for another step's prompt."""
    return "\n".join(m.text for m in messages if m.role != "assistant")
