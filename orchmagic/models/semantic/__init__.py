"""The semantic cache: serves the stored answer to the same question in other words.

    exact miss ─▶ embed ─▶ nearest ─▶ text guards ─▶ threshold ─▶ verifier (may only veto) ─▶ hit, or an audit of it

Cosine similarity never decides alone. Only the variable parts of a prompt are compared; all else must be equal
(`scope`). Every hit is stored with the matched text and the score, so that a person can review it and mark it as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ComparedQuestion:
    """A question: `scope` is a hash of all that must be equal, `texts` are the parts that may differ in words."""

    scope: str
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The texts, for display."""
        return " | ".join(self.texts.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """An answered question; the answer is in the exact cache under `key`. `stored` in seconds since the epoch."""

    number: int
    question: ComparedQuestion
    key: str
    stored: float


@dataclass(frozen=True, slots=True)
class Match:
    """An entry near a question: `score` is their cosine, `difference` why it does not match, "" = no difference."""

    entry: Entry
    score: float
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit that was served. `at` in seconds since the epoch, `saved` in US dollars; `right` None = not reviewed."""

    number: int
    asked: str
    matched: str
    score: float
    at: float
    entry: int
    saved: float | None = None
    right: bool | None = None
