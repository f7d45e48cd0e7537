"""The size of the largest JSON that fits a schema, if there is one: a label, a number, a date, an object of these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

JsonSchema: TypeAlias = Mapping[str, Any]

_SIZES = {"boolean": 5, "null": 4, "integer": 24, "number": 28}  # bytes
_FORMAT = 40  # bytes of a date, a time, an UUID
_FORMATS = frozenset({"date", "time", "date-time", "duration", "uuid", "ipv4"})
_ESCAPED = 6  # bytes of a character, at most
_DEEPEST = 8  # schemas inside schemas; a deeper one may refer to itself


def largest(schema: JsonSchema) -> int | None:
    """The bytes of the largest JSON value that fits, without white space; None if there is no such bound."""
    return _largest(schema, schema, 0)


def _largest(schema: Any, root: JsonSchema, depth: int) -> int | None:  # noqa: PLR0911 - a line for each form
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if "const" in schema or "enum" in schema:
        return max((_size(v) for v in schema.get("enum", [schema.get("const")])), default=None)
    if "$ref" in schema:
        return _largest(_referred(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _most(_largest(s, root, depth + 1) for s in schema[key])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _most(_largest({**schema, "type": one}, root, depth + 1) for one in kind)
    if kind == "string":
        longest = schema.get("maxLength")
        return _ESCAPED * longest + 2 if longest else _FORMAT if schema.get("format") in _FORMATS else None
    if kind == "array":
        return _times(schema.get("maxItems"), _largest(schema.get("items"), root, depth + 1))
    if kind == "object":
        return _object(schema, root, depth)
    return _SIZES.get(str(kind))


def _object(schema: JsonSchema, root: JsonSchema, depth: int) -> int | None:
    if schema.get("additionalProperties") is not False:
        return None
    sizes = {name: _largest(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}
    known = [_size(name) + size + 2 for name, size in sizes.items() if size is not None]  # colon and comma
    return sum(known) + 2 if len(known) == len(sizes) else None


def _times(count: int | None, item: int | None) -> int | None:
    return None if count is None or item is None else count * (item + 1) + 2


def _most(sizes: Iterable[int | None]) -> int | None:
    found = list(sizes)
    known = [size for size in found if size is not None]
    return max(known) if known and len(known) == len(found) else None


def _referred(reference: Any, root: JsonSchema) -> Any:
    found: Any = root
    for part in str(reference).removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _size(value: Any) -> int:
    return len(json.dumps(value))
