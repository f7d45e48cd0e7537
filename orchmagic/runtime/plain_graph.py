"""A graph and its options as JSON, and back: what a worker gets is the graph that was checked here, not its text again.

The text alone would not do: a variant on another model, a judge and a single step are graphs without a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from orchmagic.core.validators import CachePolicy
from orchmagic.graph import model
from orchmagic.language.annotations import Field, Output
from orchmagic.language.magic_line import RunOptions
from orchmagic.language.template import Message

_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (*vars(model).values(), CachePolicy, Field, Output, RunOptions, Message)
    if isinstance(kind, type) and is_dataclass(kind)
}
_KIND = "#"


def to_plain(value: Any) -> Any:
    """Returns a graph, or options, as JSON; the inverse of `from_plain`.

    Raises:
        TypeError: a part of it has no JSON.
    """
    if type(value).__name__ in _KINDS and is_dataclass(value):
        return {_KIND: type(value).__name__, **{f.name: to_plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, tuple):
        return {_KIND: "tuple", "items": [to_plain(part) for part in value]}
    if isinstance(value, Mapping):
        return {_KIND: "dict", "items": [[to_plain(key), to_plain(part)] for key, part in value.items()]}
    if isinstance(value, list):
        return [to_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{value!r} has no JSON")


def from_plain(data: Any) -> Any:
    """Rebuilds what `to_plain` wrote."""
    if isinstance(data, list):
        return [from_plain(part) for part in data]
    if not isinstance(data, dict):
        return data
    kind = data[_KIND]
    if kind == "tuple":
        return tuple(from_plain(part) for part in data["items"])
    if kind == "dict":
        return {from_plain(key): from_plain(part) for key, part in data["items"]}
    return _KINDS[kind](**{name: from_plain(part) for name, part in data.items() if name != _KIND})
