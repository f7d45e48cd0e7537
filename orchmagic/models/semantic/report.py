"""What `%orch cache` says of the semantic cache: hits, their error, what they saved; and single hits by number."""

from __future__ import annotations

from collections.abc import Callable

from orchmagic.core.numbers import counted
from orchmagic.errors import InputError
from orchmagic.models.semantic import Hit
from orchmagic.models.semantic.semantic_cache import SemanticCache
from orchmagic.models.semantic.threshold import least, most_wrong


def summary(memory: SemanticCache, money: Callable[[float], str] = "${:.4f}".format) -> str:
    """A few lines for people; `money` writes US dollars."""
    store = memory.store
    totals, (wrong, looked) = store.totals(), store.audits()
    done = f"{counted(totals['hits'], 'hit')}, {totals['wrong']} marked as wrong, {money(totals['saved'])} saved"
    first = f"Semantic cache: {counted(totals['entries'], 'question')}, {done}."
    return "\n".join([first, _threshold(memory), _error(wrong, looked)])


def hits(memory: SemanticCache, most: int = 20) -> list[Hit]:
    """The newest hits, each with what was asked, what it matched, and its score."""
    return memory.store.hits(most)


def wrong(memory: SemanticCache, number: str, now: float) -> str:
    """Mark a hit as wrong: it is never served again and counts as an error.

    Raises:
        InputError: there is no such hit.
    """
    if not memory.store.wrong(_number(number, "cache wrong"), now):
        raise InputError(f"no hit {number!r}: %orch cache hits lists them")
    return f"Hit {number.removeprefix('#')} is marked as wrong: questions like it are asked."


def remove(memory: SemanticCache, number: str) -> str:
    """Forget one question; its exact answer stays.

    Raises:
        InputError: there is no such entry.
    """
    if not memory.forget(_number(number, "cache remove")):
        raise InputError(f"no entry {number!r}: %orch cache entries lists them")
    return f"Entry {number.removeprefix('#')} is forgotten."


def _number(text: str, command: str) -> int:
    try:
        return int(text.removeprefix("#"))
    except ValueError:
        raise InputError(f"{text!r} is no number: write for example %orch {command} 3") from None


def _error(wrong: int, looked: int) -> str:
    if not looked:
        return "No hit was asked again yet: nothing is known of the error."
    return (
        f"Of {counted(looked, 'hit')} asked again at random, {wrong} had another answer: {wrong / looked:.1%} wrong, "
        f"with 95 % confidence at most {most_wrong(wrong, looked):.1%}."
    )


def _threshold(memory: SemanticCache) -> str:
    policy = memory.policy
    if policy.bound is None:
        return f"Served from a cosine of {policy.threshold:.2f}, when the words say the same."
    line, (count, _) = memory.line(), memory.store.counted()
    pairs = counted(count, "pair")
    if line is None:
        need = f"at least {least(policy.bound)} are needed to keep {policy.bound:.1%} wrong"
        return f"Learning: {pairs} compared, {need}; none served."
    return f"Served from a cosine of {line:.3f}, learned from {pairs} to keep at most {policy.bound:.1%} wrong."
