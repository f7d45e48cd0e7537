"""Cuts values down to the parts that a graph uses, before a run keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchmagic.errors import InputError
from orchmagic.language.usage import NOTHING, Key, Use, either
from orchmagic.models import images
from orchmagic.runtime.foreign_values import foreign, is_table
from orchmagic.runtime.json_state import MOST, JsonReader, is_list


def used_part(value: object, name: str, use: Use) -> Any:
    """Converts the used parts of a value to JSON; an element before a used one that is not used itself is None.

    Raises:
        InputError: a used part is not JSON serialisable.
    """
    return _used_part(value, use, JsonReader(name))


def _used_part(value: Any, use: Use, reader: JsonReader) -> Any:
    _refuse_what_rows_lack(value, use, reader.name)
    if use.whole or isinstance(value, str) or value is None:
        return reader.read(value)
    if (image := images.encode(value)) is not None:
        return image
    if is_table(value) and hasattr(value, "shape") and not (use.each or use.items):
        value = _few_rows(value, use, reader.name)
    if not isinstance(value, Mapping) and not is_list(value):
        plain = foreign(value, reader.name)
        value = plain if isinstance(plain, list) else reader.read(value)
    if isinstance(value, Mapping):
        return _used_entries(value, use, reader)
    return _used_elements(value, use, reader) if is_list(value) else reader.read(value)


def _refuse_what_rows_lack(value: Any, use: Use, name: str) -> None:
    """Refuses `df.head(3)`, and a table too long to be kept, before anything is converted or asked.

    Raises:
        InputError: the value is a table or an array, which a run reads as a list.
    """
    kind = type(value)
    if isinstance(value, Mapping | list | tuple) or not (hasattr(kind, "shape") or is_table(value)):
        return
    lacking = next((k for k in use.parts if isinstance(k, str) and not hasattr(list, k)), None)
    if lacking is not None:
        is_what, of = ("a table", " of rows") if is_table(value) else ("an array", "")
        raise InputError(
            f"{name!r} is {is_what}, which a cell reads as a list{of}, and a list has no {lacking!r}: "
            f"write part = {name}.{lacking}… in a cell of Python and read part here, or read {name} in a function"
        )
    if is_table(value) and (use.whole or use.each or use.items) and hasattr(kind, "shape") and len(value) > MOST:
        raise InputError(
            f"{name!r} has {len(value):,} rows, more than the {MOST:,} that a run keeps: pass a part of it, or write "
            f"NAME.map({name}) to run a cell for each row"
        )


def _few_rows(table: Any, use: Use, name: str) -> list[Any]:
    """The rows of a table that `use` reads by number; None for the others."""
    rows: list[Any] = [None] * len(table)
    for place in use.parts:
        if isinstance(place, int) and -len(rows) <= place < len(rows):
            at = place % len(rows)
            rows[at] = foreign(getattr(table, "iloc", table)[at : at + 1], name)[0]
    return rows


def _used_entries(value: Mapping[Any, Any], use: Use, reader: JsonReader) -> dict[str, Any]:
    pairs = use.items and (use.items.whole or use.items.parts.get("value", NOTHING).whole)
    if pairs:
        return {reader.key(k): reader.read(v) for k, v in value.items()}
    kept: dict[str, Any] = {}
    if use.size or use.each or use.items:
        kept = dict.fromkeys(map(reader.key, value))
    if use.items and (inner := use.items.parts.get("value")):
        kept |= {reader.key(k): _used_part(v, inner, reader) for k, v in value.items()}
    for key, part in use.parts.items():
        found = next((k for k in (key, *_spellings(key)) if k in value), None)
        if found is not None:
            _keep(kept, str(key), _used_part(value[found], part, reader), reader.name)
    return kept


def _keep(kept: dict[str, Any], key: str, part: Any, name: str) -> None:
    if kept.get(key) is not None and kept[key] != part:
        raise InputError(f"{name!r} has an entry {key} and an entry {key!r}, which are one in JSON: rename one of them")
    kept[key] = part


def _spellings(key: Key) -> tuple[Key, ...]:
    """The other form of a key that is a number: 7 and "7"."""
    if isinstance(key, int):
        return (str(key),)
    return (int(key),) if key.isascii() and key.isdecimal() else ()


def _used_elements(value: Sequence[Any], use: Use, reader: JsonReader) -> list[Any]:
    value = value if isinstance(value, Sequence) else [*value]
    places = {k for k in use.parts if isinstance(k, int)}
    every = either(use.each, use.items)
    if not (use.size or every is not None or min(places, default=0) < 0):
        value = value[: max(places, default=-1) + 1]
    parts: dict[int, Use | None] = dict.fromkeys(range(len(value)), every) if every else {}
    for place in places:
        at = place % len(value) if -len(value) <= place < len(value) else None
        if at is not None:
            parts[at] = either(parts.get(at), use.parts[place])
    return [_used_part(v, part, reader) if (part := parts.get(i)) is not None else None for i, v in enumerate(value)]


class NumberedDict(dict[str, Any]):
    """A dict of the state whose keys were numbers: `by_id[7]` reads the entry "7"."""

    def __missing__(self, key: object) -> Any:
        if isinstance(key, int) and str(key) in self:
            return self[str(key)]
        raise KeyError(key)


def numbered(value: Any, use: Use) -> Any:
    """Makes the dicts readable by number that `use` reads so."""
    if not _reads_numbers(use):
        return value
    if isinstance(value, list):
        every = either(use.each, use.items)
        found = [numbered(v, every) for v in value] if every else [*value]
        for key, part in use.parts.items():
            if isinstance(key, int) and -len(found) <= key < len(found):
                found[key] = numbered(found[key], part)
        return found
    if not isinstance(value, dict):
        return value
    inner = {str(k): part for k, part in use.parts.items() if str(k) in value}
    return NumberedDict({**value, **{k: numbered(value[k], part) for k, part in inner.items()}})


def _reads_numbers(use: Use) -> bool:
    below = (*use.parts.values(), *filter(None, (use.each, use.items)))
    return any(isinstance(k, int) for k in use.parts) or any(map(_reads_numbers, below))
