"""Guard `length`: finds text beyond a number of characters, as in `length:8000=block`. Redacting cuts it off."""

from __future__ import annotations

from collections.abc import Mapping

from orchmagic.guards import Finding, GuardPlug


class Length:
    """Finds the text after the first `most` characters."""

    slow = False

    def __init__(self, most: int) -> None:
        self._most = most

    def find(self, text: str) -> list[Finding]:
        if len(text) <= self._most:
            return []
        return [Finding(self._most, len(text), f"text beyond {self._most} characters")]


def _create(argument: str | None, _: Mapping[str, str]) -> Length:
    if argument is None or not argument.isdecimal() or int(argument) < 1:
        raise ValueError("write how many characters may pass: length:8000=block")
    return Length(int(argument))


plug = GuardPlug("length", _create, places=("input", "tools"))
