"""Functions on the prompts of a cell: find the names they use, append context, join them to one task text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchmagic.language import template
from orchmagic.language.template import Message


def read(messages: Iterable[Message]) -> frozenset[str]:
    """Returns the variable names that the messages use."""
    return frozenset().union(*(template.names(m.text) for m in messages))


def append_context(messages: Sequence[Message], names: Iterable[str], text: str) -> tuple[Message, ...]:
    """Appends `text` to the last message, unless the messages already use one of `names`."""
    if not messages or read(messages) & set(names):
        return tuple(messages)
    last = messages[-1]
    return (*messages[:-1], replace(last, text=f"{last.text}{text}"))


def task(messages: Iterable[Message]) -> str:
    """Joins the messages, except those of the assistant, to one template for another step's prompt."""
    return "\n".join(m.text for m in messages if m.role != "assistant")
