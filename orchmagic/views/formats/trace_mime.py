"""The record as versioned JSON, for our own renderer and for other programs.

Default values are left out, which halves the size; `Record.from_json` restores them.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from orchmagic.trace import reasons
from orchmagic.trace.record import MIME, Record, Span
from orchmagic.views import View


def render(record: Record) -> dict[str, Any]:
    """Return `Record.to_json` without span fields that have their defaults."""
    return {**record.to_json(), "spans": [_span(s) for s in record.spans]}


def _span(span: Span) -> dict[str, Any]:
    data = {f.name: getattr(span, f.name) for f in fields(span) if getattr(span, f.name) != _default(f)}
    if "usage" in data:
        data["usage"] = {f.name: n for f in fields(span.usage) if (n := getattr(span.usage, f.name))}
    if "why" in data:
        data["why"] = [reasons.to_json(reason) for reason in span.why]
    return data


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


plug = View("record", MIME, render)
