"""The socket for views: each renders a Record as one MIME type; a display carries them all.

What a model wrote is hostile: every view escapes it, and cuts it, so that a saved notebook stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchmagic.core.plugins import Registry
from orchmagic.trace.record import Record
from orchmagic.views.truncate import MOST, bound, thinned


@dataclass(frozen=True, slots=True)
class View:
    """`render(record)` is the data under `mime`; `when` says whether this record (its values not yet cut) gets it."""

    name: str
    mime: str
    render: Callable[[Record], Any]
    when: Callable[[Record], bool] = lambda _: True


VIEWS: Registry[View] = Registry("orchmagic.views.formats", "plug", View, "orchmagic.views")


def bundle(record: Record) -> dict[str, Any]:
    """The MIME bundle of a run: Plotly, our trace, static HTML and text."""
    thin = thinned(record)
    bounded = bound(thin)
    return {view.mime: view.render(bounded) for view in VIEWS if view.when(thin)}


def large(record: Record) -> bool:
    """Too many spans for a figure, even with the many items of a step summed up."""
    return len(record.spans) > MOST
