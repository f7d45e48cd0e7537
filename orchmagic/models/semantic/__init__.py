"""The semantic cache: an answer that was given to the same question in other words.

    exact miss ─▶ embed ─▶ nearest ─▶ text guards ─▶ threshold ─▶ verifier (may only veto) ─▶ hit, or an audit of it

Cosine never decides alone. Only the variable parts of a prompt are compared; all else must be equal (`Scope`).
Every hit is kept with the text it matched and its score, so that a person can look, and call it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ComparedQuestion:
    """What is compared: `scope` hashes all that must be equal, `texts` are the parts that may be worded otherwise."""

    scope: str
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The texts, for people."""
        return " | ".join(self.texts.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """A question that was answered; the answer is in the exact cache under `key`. Times are seconds since the epoch."""

    number: int
    question: ComparedQuestion
    key: str
    stored: float


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that is near enough to be looked at; `difference` says what keeps it apart, "" when nothing does."""

    entry: Entry
    score: float
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit as it was served; `right` is None until an audit or a person said so."""

    number: int
    asked: str
    matched: str
    score: float
    at: float
    entry: int
    saved: float | None = None
    right: bool | None = None
