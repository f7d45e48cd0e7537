"""How a run or a part of it ended, for people: one table of sign, word and tone.

Views take the three from here. A tone is the name of a color in `views/palette.py`. `Span.status` and `Span.doubt` keep
the words of the program (`capped`).
"""

from __future__ import annotations

from typing import NamedTuple

from orchmagic.trace.record import LOW_CONFIDENCE, NOT_VERIFIED, SAID_NO, WITH_FAILURES, Record, Span


class Mark(NamedTuple):
    """`sign` is one character; `word` begins with a capital; `tone`: code, doubt, failed, wait, call or grey."""

    sign: str
    word: str
    tone: str


MARKS = {
    "done": Mark("✓", "Done", "code"),
    WITH_FAILURES: Mark("!", "Done, with failures", "doubt"),
    NOT_VERIFIED: Mark("!", "Not verified", "doubt"),
    LOW_CONFIDENCE: Mark("!", "Low confidence", "doubt"),
    SAID_NO: Mark("!", "Check said no", "doubt"),
    "capped": Mark("◔", "Stopped at its limit", "doubt"),
    "failed": Mark("✗", "Failed", "failed"),
    "cancelled": Mark("■", "Stopped", "grey"),
    "stopped": Mark("■", "Stopped", "grey"),
    "lost": Mark("■", "Interrupted (kernel gone)", "grey"),
    "waiting": Mark("?", "Waiting for you", "wait"),
    "rejected": Mark("✗", "Rejected", "failed"),
    "running": Mark("●", "Running", "call"),
    "pending": Mark("○", "Not started", "grey"),
    "skipped": Mark("-", "Not run", "grey"),
    "retried": Mark("↻", "Tried again", "failed"),
}
"""The mark of each status, of each doubt, and of a step that has not begun (`pending`)."""


def by_name(status: str) -> Mark:
    """Return the mark of a status or a doubt; one that is unknown is shown as it is."""
    return MARKS.get(status) or Mark("·", status.capitalize(), "grey")


def of(part: Record | Span) -> Mark:
    """Return the mark of a run or a span. A span that sums up others (`more`) has a blank sign."""
    found = by_name(part.doubt or part.status)
    return found._replace(sign=" ") if isinstance(part, Span) and part.kind == "more" else found


def trouble(part: Record | Span) -> str:
    """Return the word of a part that is not simply done: `Not run`, `Check said no`; else empty."""
    return "" if part.status == "done" and not part.doubt else of(part).word
