"""What happened, in words: decisions, votes, scores, a person's answer, parts that failed. Each is one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchmagic.core.text import shorten
from orchmagic.trace.events import Audited, Guarded
from orchmagic.trace.questions import DECIDED, DECISIONS
from orchmagic.trace.span_builder import SpanBuilder

_SAID = 200  # characters of a complaint, of an answer
_ROUNDS = 12  # scores that are told


def short(text: str, limit: int = _SAID) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 10 * limit].split())
    return shorten(line, limit)


def answered(reply: Any) -> str:
    """`approved by a person`, `rejected by a person: too much`."""
    if not (isinstance(reply, Mapping) and reply.get("action") in DECISIONS):
        return "answered by a person"
    why = str(reply.get("why") or "")
    return f"{DECIDED[reply['action']]} by a person" + (f": {short(why)}" if why else "")


def recalled(*, paid: bool) -> str:
    """Where an answer came from that no model was asked for."""
    return "from the record: paid before the run went on" if paid else "from the record of the run that is replayed"


def describe_output(output: Any) -> Iterable[str]:
    """What a value itself tells of how it came to be: the score of each round."""
    if rounds := _scores(output):
        yield _scored(rounds)


def chose(choice: str, reason: str, confidence: float | None, basis: str) -> str:
    """`→ billing: asks for money back (confidence 0.93, logprobs)`."""
    sure = "" if confidence is None else f" (confidence {confidence:.2f}, {basis})"
    if basis == "vote agreement":
        sure = f" (agreement {confidence:.0%})"
    plain = reason in {"True", "False", choice}  # the value alone explains nothing
    return f"→ {short(choice)}{'' if plain else f': {reason}'}{sure}"


def _scores(output: Any) -> list[float]:
    """The scores of a list of rounds, oldest first."""
    if not (isinstance(output, list) and output):
        return []
    rounds = [r for r in output if isinstance(r, Mapping) and "round" in r and _number(r.get("score"))]
    return [r["score"] for r in rounds] if len(rounds) == len(output) else []


def _scored(scores: list[float]) -> str:
    first = max(0, len(scores) - _ROUNDS)
    said = ", ".join(f"{n:g}" for n in scores[first:])
    best = scores.index(max(scores)) + 1
    return f"scores by round: {'… ' if first else ''}{said}" + (f"; best: round {best}" if len(scores) > 1 else "")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def broken(drafts: Iterable[SpanBuilder]) -> str | None:
    """Which parts failed of a run that went on: `2 of 40 items of map failed; personal failed`."""
    steps: dict[str, list[SpanBuilder]] = {}
    lost: list[str] = []
    for draft in drafts:
        if draft.kind == "item" and draft.parent:
            steps.setdefault(draft.parent, []).append(draft)
        elif draft.status == "failed" and draft.parent is None:
            lost.append(f"{draft.name} failed")
    some = []
    for parent, items in steps.items():
        failed = sum(i.status == "failed" for i in items)
        if failed:
            some.append(f"{failed} of {len(items)} items of {parent.rpartition('/')[2].partition('#')[0]} failed")
    return "; ".join(dict.fromkeys((*some, *lost))) or None


def noted(event: Guarded | Audited) -> str:
    """What a rule found and what was done about it, or what came of a semantic hit that was asked again."""
    if isinstance(event, Audited):
        same = "the same" if event.agreed else "another"
        return f"asked again to check the semantic cache, {event.score:.3f}: {same} answer as to {short(event.matched)}"
    return f"guard {event.rule} ({event.action}) found {event.what} in the {event.where}"
