"""Guard `deny`: finds listed words, as in `deny:falcon|project x=block`. Whole words, any case, Unicode-normalized."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchmagic.guards import Finding, GuardPlug
from orchmagic.guards.normalize import plain


class Deny:
    """A space inside a phrase matches any run of white space, hyphens and underscores."""

    slow = False

    def __init__(self, words: list[str]) -> None:
        phrases = "|".join(r"[\s_-]+".join(map(re.escape, w.split())) for w in sorted(words, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\w)(?:{phrases})(?!\w)", re.IGNORECASE)

    def find(self, text: str) -> list[Finding]:
        form = plain(text)
        return form.to_original(Finding(*m.span(), "denied word") for m in self._pattern.finditer(form.text))


def _create(argument: str | None, _: Mapping[str, str]) -> Deny:
    words = [plain(w).text for w in (argument or "").split("|") if w.strip()]
    if not words:
        raise ValueError("write the words with | between them: deny:falcon|project x=block")
    return Deny(words)


plug = GuardPlug("deny", _create)
