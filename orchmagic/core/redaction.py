"""Replaces the values of API keys in everything that a run records, stores or shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

MARK = "[key]"
_SHORTEST = 8  # characters: a shorter key is a placeholder such as "none", and may be part of a word


class KeyValues:
    """The values of keys. `clean` returns a value without them, and the same object if it holds none.

    `learned` counts up when a key is added. Safe to use from any thread.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.learned = 0
        self._values: tuple[str, ...] = ()
        self.learn(values)

    def learn(self, values: Iterable[str], shortest: int = _SHORTEST) -> None:
        """Add keys of at least `shortest` characters, as they are and as they stand in JSON text."""
        fitting = {v for v in values if len(v) >= shortest}
        found = {*self._values, *fitting, *(json.dumps(v)[1:-1] for v in fitting)}
        if len(found) > len(self._values):
            self._values = tuple(sorted(found, key=len, reverse=True))
            self.learned += 1

    def holds(self, value: Any) -> bool:
        """Whether one of the keys is in a value."""
        return self.clean(value) is not value

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
