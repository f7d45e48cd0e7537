"""Whether what is done is also good: the verdicts of a run's parts, carried from the innermost parts to the run.

The last visit of a step counts. A failed vote or tool is no failure of its step: others voted, or the model was told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from orchmagic.trace.record import LOW_CONFIDENCE, NOT_VERIFIED, SAID_NO, WITH_FAILURES
from orchmagic.trace.span_builder import SpanBuilder

_NO_PARTS = frozenset({"ask", "attempt"})
_REPLACEABLE = frozenset({"vote", "tool"})
_CARRIED = (WITH_FAILURES, NOT_VERIFIED, LOW_CONFIDENCE)  # to the step above and to the run, the gravest first


def judge(drafts: Sequence[SpanBuilder]) -> tuple[bool | None, str]:
    """Set `verified` and `doubt` of each span, parents before children in `drafts`; return both for the run."""
    inside: dict[str | None, dict[str, SpanBuilder]] = defaultdict(dict)
    for draft in reversed(drafts):
        if draft.kind in _NO_PARTS:
            continue
        parts = inside.pop(draft.id, {}).values()
        if parts and draft.verified is None:
            draft.verified = _all_verified(part.verified for part in parts)
        if draft.status == "done":
            no = draft.kind == "gate" and draft.output is False
            draft.doubt = SAID_NO if no else _doubt(draft.verified, parts, unsure=_is_unsure(draft))
        inside[draft.parent].setdefault(draft.name, draft)
    steps = inside[None].values()
    verified = _all_verified(step.verified for step in steps)
    return verified, _doubt(verified, steps)


def _doubt(verified: bool | None, parts: Collection[SpanBuilder], *, unsure: bool = False) -> str:
    found = {part.doubt for part in parts} | {LOW_CONFIDENCE if unsure else "", NOT_VERIFIED * (verified is False)}
    if any(part.status == "failed" and part.kind not in _REPLACEABLE for part in parts):
        found.add(WITH_FAILURES)
    return next((doubt for doubt in _CARRIED if doubt in found), "")


def _is_unsure(draft: SpanBuilder) -> bool:
    """Whether a router or a vote was below its minimum, and nobody else decided."""
    return any(
        reason.cause == "unsure" or (reason.cause == "votes" and reason.limit and not reason.source)
        for reason in draft.why
        if reason.kind == "decision"
    )


def _all_verified(marks: Iterable[bool | None]) -> bool | None:
    """Return False if one was not verified, True if one was and none was not, None if none was to be."""
    known = [mark for mark in marks if mark is not None]
    return all(known) if known else None
