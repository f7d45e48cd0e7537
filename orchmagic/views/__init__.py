"""The socket for views: each renders a Record as one MIME type; a display carries them all.

What a model wrote is hostile: every view escapes it, and cuts it, so that a saved notebook stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchmagic.registry import Registry
from orchmagic.trace import Record
from orchmagic.views._bound import bound

_MANY = 1_000  # spans from which a figure is too slow


@dataclass(frozen=True, slots=True)
class View:
    """`render(record)` is the data under `mime`; `when` says whether this record (not yet cut) gets it."""

    name: str
    mime: str
    render: Callable[[Record], Any]
    when: Callable[[Record], bool] = lambda _: True


VIEWS: Registry[View] = Registry("orchmagic.views", "plug", View)


def bundle(record: Record) -> dict[str, Any]:
    """The MIME bundle of a run: Plotly, our trace, static HTML and text."""
    bounded = bound(record)
    return {view.mime: view.render(bounded) for view in VIEWS if view.when(record)}


def large(record: Record) -> bool:
    """Too many spans for a figure."""
    return len(record.spans) > _MANY
