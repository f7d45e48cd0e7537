"""The plug-in point for views: each view renders a Record as one MIME type; a MIME bundle holds them all.

Text from a model is untrusted: every view escapes it, and truncates it so that a saved notebook stays small.
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
    """`render(record)` returns the data for `mime`; `when(record)`, before truncation, whether to use this view."""

    name: str
    mime: str
    render: Callable[[Record], Any]
    when: Callable[[Record], bool] = lambda _: True


VIEWS: Registry[View] = Registry("orchmagic.views.formats", "plug", View, "orchmagic.views")


def bundle(record: Record) -> dict[str, Any]:
    """Return the MIME bundle of a run: Plotly, our trace format, static HTML and text."""
    thin = thinned(record)
    bounded = bound(thin)
    return {view.mime: view.render(bounded) for view in VIEWS if view.when(thin)}


def large(record: Record) -> bool:
    """Whether there are too many spans for a figure."""
    return len(record.spans) > MOST
