"""Words that must not pass: `deny:falcon|project x=block`. Whole words, in any case, however they are disguised."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchmagic.guards import Finding, GuardPlug
from orchmagic.guards.normalize import plain


class Deny:
    """Blanks inside a phrase stand for any white space, hyphens and underscores."""

    slow = False

    def __init__(self, words: list[str]) -> None:
        forms = "|".join(r"[\s_-]+".join(map(re.escape, w.split())) for w in sorted(words, key=len, reverse=True))
        self._seek = re.compile(rf"(?<!\w)(?:{forms})(?!\w)", re.IGNORECASE)

    def find(self, text: str) -> list[Finding]:
        reading = plain(text)
        return reading.back(Finding(*m.span(), "denied word") for m in self._seek.finditer(reading.text))


def _create(argument: str | None, _: Mapping[str, str]) -> Deny:
    words = [plain(w).text for w in (argument or "").split("|") if w.strip()]
    if not words:
        raise ValueError("write the words with | between them: deny:falcon|project x=block")
    return Deny(words)


plug = GuardPlug("deny", _create)
