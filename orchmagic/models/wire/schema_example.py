"""Makes a smallest value that fits a JSON schema, and one that does not; scripted models answer with them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

JsonSchema: TypeAlias = Mapping[str, Any]

_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WRONG = "none of the choices"


class _EndlessError(Exception):
    """Every alternative of the schema refers to itself."""


def instance(schema: JsonSchema, word: str = "scripted") -> Any:
    """A value that fits `schema`: first choices, required properties, `word` for every text, true for bool.

    True, because it ends most loops. `pattern` and `not` are not supported: the value may not fit them.
    """
    return _Filler(schema, word).fill(schema, ())


def misfit(schema: JsonSchema, value: Any) -> Any:
    """Replace the first enumerated part of `value` by an invalid choice; without one, all of `value`."""
    spoiled, done = _Filler(schema).spoil(schema, value)
    return spoiled if done else {"unexpected": _WRONG}


class _Filler:
    """Builds values for a schema; `root` resolves references. `active`: references being followed, to stop cycles."""

    def __init__(self, root: JsonSchema, word: str = "") -> None:
        self._root = root
        self._word = word

    def fill(self, schema: JsonSchema | bool, active: tuple[str, ...]) -> Any:
        if isinstance(schema, bool):
            return None
        for key, value in (("const", schema.get("const")), ("enum", (schema.get("enum") or [None])[0])):
            if key in schema:
                return value
        if "$ref" in schema:
            return self._referred(schema["$ref"], active)
        if "allOf" in schema:
            return self.fill(_merged(schema), active)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._first(schema[key], active)
        return self._typed(schema, active)

    def _referred(self, reference: str, active: tuple[str, ...]) -> Any:
        if reference in active:
            raise _EndlessError(reference)
        return self.fill(self._target(reference), (*active, reference))

    def _target(self, reference: str) -> JsonSchema:
        target: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")] if key else target
        return target  # type: ignore[no-any-return]  # a reference leads to a schema

    def _first(self, choices: Iterable[JsonSchema], active: tuple[str, ...]) -> Any:
        for choice in choices:
            try:
                return self.fill(choice, active)
            except _EndlessError:
                continue
        raise _EndlessError

    def _typed(self, schema: JsonSchema, active: tuple[str, ...]) -> Any:
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema, active)
        if kind == "array":
            return self._array(schema, active)
        scalars: Mapping[str, Callable[[JsonSchema], Any]] = {
            "integer": lambda s: int(_number(s, 1)),
            "number": lambda s: _number(s, 0.5),
            "boolean": lambda _: True,
            "null": lambda _: None,
        }
        return scalars.get(kind, self._text)(schema)

    def _text(self, schema: JsonSchema) -> str:
        text = _FORMATS.get(schema.get("format", ""), self._word)
        text += "." * (int(schema.get("minLength", 0)) - len(text))
        return text[: int(schema.get("maxLength", len(text)))]

    def _object(self, schema: JsonSchema, active: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties", {})
        return {name: self.fill(properties.get(name, {}), active) for name in schema.get("required", ())}

    def _array(self, schema: JsonSchema, active: tuple[str, ...]) -> list[Any]:
        fixed = [self.fill(part, active) for part in schema.get("prefixItems", ())]
        missing = max(0, schema.get("minItems", 0) - len(fixed))
        return fixed + [self.fill(schema.get("items", {}), active) for _ in range(missing)]

    def spoil(self, schema: JsonSchema | bool, value: Any) -> tuple[Any, bool]:
        if isinstance(schema, bool):
            return value, False
        if "enum" in schema or "const" in schema:
            return _WRONG, True
        for part in self._ways(schema):
            spoiled, done = self.spoil(part, value)
            if done:
                return spoiled, True
        return self._spoil_inside(schema, value)

    def _ways(self, schema: JsonSchema) -> Iterator[JsonSchema]:
        if "$ref" in schema:
            yield self._target(schema["$ref"])
        for key in ("allOf", "anyOf", "oneOf"):
            yield from schema.get(key, ())

    def _spoil_inside(self, schema: JsonSchema, value: Any) -> tuple[Any, bool]:
        parts: list[tuple[Any, JsonSchema]] = []
        if isinstance(value, dict):
            parts = [(k, s) for k, s in schema.get("properties", {}).items() if k in value]
        elif isinstance(value, list):
            parts = [(i, schema.get("items", {})) for i in range(len(value))]
        for key, part in parts:
            spoiled, done = self.spoil(part, value[key])
            if done:
                copy = json.loads(json.dumps(value))
                copy[key] = spoiled
                return copy, True
        return value, False


def _merged(schema: JsonSchema) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        rest = {
            **rest,
            **part,
            "properties": {**rest.get("properties", {}), **part.get("properties", {})},
            "required": [*rest.get("required", ()), *part.get("required", ())],
        }
    if not rest["properties"]:
        del rest["properties"]
    return rest


def _number(schema: JsonSchema, step: float) -> float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    low, high = max(low, above), min(high, below)
    nearest: float = min(max(0, low), high)
    unit: float = schema.get("multipleOf", 0)
    if unit:
        nearest = math.ceil(nearest / unit) * unit
    if nearest in (above, below):  # the bound itself is excluded
        inward = unit or (step if high - low > step else (high - low) / 2)
        nearest += inward if nearest == above else -inward
    return nearest
