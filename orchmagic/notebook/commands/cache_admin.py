"""`%orch cache`: shows stored answers, savings and the semantic error rate; marks and removes entries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted, table
from orchmagic.errors import InputError
from orchmagic.notebook.commands.registry import cell, command
from orchmagic.trace.humanize import money

if TYPE_CHECKING:
    from orchmagic.models.semantic.semantic_cache import SemanticCache
    from orchmagic.runtime.session import Session


@command
def cache(session: Session, action: str = "", number: str = "") -> str:
    """Cache [hits | entries | wrong HIT | remove ENTRY | clear]: answers, what they saved, their error"""
    store, semantic = session.services.caches.answers, session.services.caches.semantic
    match action:
        case "":
            off = session.settings.cache == "off"
            said = ["The cache is off (%config OrchMagic.cache), but for cells and steps with --cache."] if off else []
            return "\n".join([*said, _size(store.stats()), *([summary(semantic)] if semantic.used() else [])])
        case "clear":
            semantic.clear()
            return f"Removed {counted(store.clear(), 'stored answer')}."
        case "hits":
            return _hits(semantic)
        case "entries":
            return _entries(semantic)
        case "wrong" | "remove" if number:
            return mark_wrong(semantic, number, time.time()) if action == "wrong" else remove(semantic, number)
    raise InputError(
        f"no command {' '.join(filter(None, ('cache', action, number)))!r}: write %orch cache alone, or with "
        "hits, entries, wrong HIT, remove ENTRY or clear"
    )


def _size(stats: Mapping[str, Any]) -> str:
    return f"{counted(int(stats['entries']), 'answer')}, {int(stats['bytes']) / 1024:.0f} kB in {stats['path']}"


def summary(semantic: SemanticCache) -> str:
    """Three lines on the semantic cache: answers served, similarity threshold, error rate."""
    totals = semantic.store.totals()
    hits = f"{counted(totals['hits'], 'hit')}, {totals['wrong']} marked as wrong, {money(totals['saved'])} saved"
    first = f"Semantic cache: {counted(totals['entries'], 'question')}, {hits}."
    return "\n".join([first, _threshold(semantic), _error_rate(*semantic.store.audits())])


def mark_wrong(semantic: SemanticCache, number: str, now: float) -> str:
    """Marks a hit as wrong: it is never served again and counts as an error. `now` in seconds since the epoch.

    Raises:
        InputError: there is no such hit.
    """
    if not semantic.store.wrong(_number(number, "cache wrong"), now):
        raise InputError(f"no hit {number!r}: %orch cache hits lists them")
    return f"Hit {number.removeprefix('#')} is marked as wrong: questions like it call the model."


def remove(semantic: SemanticCache, number: str) -> str:
    """Removes one prompt from the semantic cache; its answer stays in the exact cache.

    Raises:
        InputError: there is no such entry.
    """
    if not semantic.forget(_number(number, "cache remove")):
        raise InputError(f"no entry {number!r}: %orch cache entries lists them")
    return f"Entry {number.removeprefix('#')} is removed."


def _number(text: str, command: str) -> int:
    try:
        return int(text.removeprefix("#"))
    except ValueError:
        raise InputError(f"{text!r} is no number: write for example %orch {command} 3") from None


def _error_rate(wrong: int, audited: int) -> str:
    from orchmagic.models.semantic.threshold import most_wrong  # noqa: PLC0415 - only this command needs it

    if not audited:
        return "No hit was audited yet: its error rate is unknown."
    return (
        f"Of {counted(audited, 'hit')} audited at random, {wrong} had another answer: {wrong / audited:.1%} wrong, "
        f"with 95 % confidence at most {most_wrong(wrong, audited):.1%}."
    )


def _threshold(semantic: SemanticCache) -> str:
    from orchmagic.models.semantic.threshold import least  # noqa: PLC0415 - only this command needs it

    policy = semantic.policy
    if policy.bound is None:
        return f"Served from a cosine of {policy.threshold:.2f}, when the words say the same."
    threshold, (count, _) = semantic.threshold(), semantic.store.counted()
    pairs = counted(count, "pair")
    if threshold is None:
        need = f"at least {least(policy.bound)} are needed to keep {policy.bound:.1%} wrong"
        return f"Learning: {pairs} compared, {need}; none served."
    return f"Served from a cosine of {threshold:.3f}, learned from {pairs} to keep at most {policy.bound:.1%} wrong."


def _hits(semantic: SemanticCache) -> str:
    hits = semantic.store.hits() if semantic.used() else []
    if not hits:
        return "The semantic cache has served nothing yet (--cache semantic)."
    verdicts = {None: "", True: "right", False: "wrong"}
    rows = [("hit", "asked", "answered as", "score", "entry", "verdict")]
    rows += [
        (str(h.number), cell(h.asked), cell(h.matched), f"{h.score:.3f}", str(h.entry), verdicts[h.right]) for h in hits
    ]
    return table(rows)


def _entries(semantic: SemanticCache) -> str:
    entries = semantic.store.entries() if semantic.used() else []
    if not entries:
        return "The semantic cache holds no question yet (--cache semantic)."
    now = time.time()
    rows = [("entry", "question", "hours old")]
    rows += [(str(e.number), cell(e.question.shown), f"{(now - e.stored) / 3600:.1f}") for e in entries]
    return table(rows)
