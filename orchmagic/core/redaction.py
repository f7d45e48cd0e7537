"""Replaces the values of API keys in everything that a run records or shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

MARK = "[key]"
_SHORTEST = 8  # characters: a shorter key is a placeholder such as "none", and may be part of a word


class KeyValues:
    """The values of keys. `clean` returns a value without them, and the same object if it holds none."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(sorted({v for v in values if len(v) >= _SHORTEST}, key=len, reverse=True))

    def clean(self, value: Any) -> Any:
        """Replaces the keys in a text, or in all texts of JSON values and dataclasses."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            pairs = [(self.clean(k), self.clean(v)) for k, v in value.items()]
            same = all(a is b and c is d for (a, c), (b, d) in zip(pairs, value.items(), strict=True))
            return value if same else dict(pairs)
        if type(value) in {list, tuple}:
            parts = [self.clean(part) for part in value]
            same = all(a is b for a, b in zip(parts, value, strict=True))
            return value if same else type(value)(parts)
        if is_dataclass(value) and not isinstance(value, type):
            pairs = [(f.name, getattr(value, f.name)) for f in fields(value) if f.init]
            changed = {name: new for name, old in pairs if (new := self.clean(old)) is not old}
            return replace(value, **changed) if changed else value
        return value

    def _text(self, text: str) -> str:
        for key in self._values:
            if key in text:
                text = text.replace(key, MARK)
        return text
