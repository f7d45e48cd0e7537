"""Short texts about a record or a span: models, cache hits, items, attempts, scores, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.trace import humanize
from orchmagic.trace.marks import MARKS, of
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import DOUBTS, Record, Span

_STATUSES = ("failed", "running", "waiting", "cancelled", "rejected")
_PARTS = {s: MARKS[s].word.lower() for s in _STATUSES} | {doubt: doubt for doubt in DOUBTS}
"""What is said of the parts of a step that are not simply done."""


def total(record: Record) -> str:
    """The run's cost, with the number of calls without a price; `~$0.01` if some tokens are estimated."""
    sum_ = humanize.money(record.cost, record.unpriced)
    return f"~{sum_}" if record.usage.estimated and record.cost else sum_


def tokens(record: Record) -> str:
    """`252 tokens`, or `~252 tokens` if an endpoint sent no counts."""
    return "~" * record.usage.estimated + counted(record.usage.total, "token")


def cache(record: Record, step: Span) -> str:
    """`from cache`, `2 of 3 from cache`, `replayed`, or empty."""
    asks = [s for s in record.below(step) if s.kind == "ask"]
    hits = sum(s.age is not None for s in asks)
    if asks and all(s.recalled for s in asks):
        return "replayed"
    if not hits:
        return ""
    return f"{hits:,} of {len(asks):,} from cache" if hits < len(asks) else "from cache"


def batch(spans: Sequence[Span]) -> str:
    """`waiting for a batch (120 requests, sent 14:02)`: that of the last model call that waits for one, or empty."""
    asks = (s for s in reversed(spans) if s.kind == "ask" and s.status == "running")
    return next((str(ask.why[-1]) for ask in asks if ask.why and ask.why[-1].kind == "batch"), "")


def models(record: Record, step: Span) -> str:
    """The models that answered in a step, at any depth, separated by commas."""
    return ", ".join(dict.fromkeys(s.model for s in record.below(step) if s.kind == "ask" and s.model))


def parts(record: Record, step: Span) -> str:
    """The parallel parts of a step: `40 rows, 2 failed`, `5 votes, agreement 80%`, or empty."""
    inner = [s for s in record.inside(step) if s.kind in {"item", "vote"}]
    if not inner:
        return ""
    counts = Counter(s.doubt or s.status for s in inner)
    for span in record.inside(step):
        counts.update(span.left_out)
    listed = [counted(counts.total(), "row" if inner[0].kind == "item" else "vote")]
    listed += [f"{counts[s]:,} {word}" for s, word in _PARTS.items() if counts[s]]
    if isinstance(step.output, dict) and isinstance(agree := step.output.get("agreement"), int | float):
        listed.append(f"agreement {agree:.0%}")
    return ", ".join(listed)


def waits(span: Span, limit: int = 60) -> str:
    """The question a waiting step waits for, or empty."""
    if span.status != "waiting" or not span.asked:
        return ""
    return f"waits for: {humanize.one_line(span.asked['question'], limit)}"


def scores(span: Span) -> str:
    """The scores of the rounds so far, or empty."""
    return next((str(reason) for reason in span.why if reason.kind == "scores"), "")


def fallback(record: Record, step: Span) -> str:
    """The model that a step's own calls switched to, or empty."""
    asks = (s for s in record.inside(step) if s.kind == "ask")
    return next((r.target for ask in asks for r in ask.why if r.kind == "fell_back"), "")


def tries(record: Record, ask: Span) -> tuple[Span, ...]:
    """The attempts of a model call."""
    return tuple(s for s in record.inside(ask) if s.kind == "attempt")


def chosen(record: Record, ask: Span) -> Reason | None:
    """The reason why the answering deployment was chosen; None unless its alias has several."""
    called = tries(record, ask)
    why = next((t.why for t in called if t.status == "done"), called[-1].why if called else ())
    return why[0] if why else None


def choices(record: Record, ask: Span) -> tuple[str, ...]:
    """Why each deployment was called, if more than one was: `p@a: first choice`."""
    called = tries(record, ask)
    return tuple(f"{t.model}: {reason}" for t in called for reason in t.why) if len(called) > 1 else ()


def again(record: Record, step: Span) -> str:
    """`1 retry, asked again once (wrong format)` of a step's own model calls, or empty."""
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    retried = sum(s.status == "retried" for ask in asks for s in record.inside(ask))
    asked = sum(s.status == "retried" for s in asks)
    counts = [counted(retried, "retry", "retries")] if retried else []
    often = "once" if asked == 1 else f"{asked:,} times"
    return ", ".join(counts + ([f"asked again {often} (wrong format)"] if asked else []))


def story(record: Record, step: Span) -> tuple[str, ...]:
    """Texts on what was unusual about a step, most important first; some may be empty."""
    target = fallback(record, step)
    return (
        f"switched to {humanize.one_line(target, 24)}" if target else "",
        cache(record, step),
        score(record, step),
        parts(record, step),
        again(record, step),
    )


def score(record: Record, span: Span) -> str:
    """`score 8`, for the best of several rounds `score 9 ★ best`, or empty."""
    own = _score(span)
    if own is None:
        return ""
    rounds = [s for s in record.beside(span) if s.name == span.name and _score(s) is not None]
    return f"score {own:g}" + (" ★ best" if len(rounds) > 1 and span.id == _best(record, rounds).id else "")


def _best(record: Record, rounds: Sequence[Span]) -> Span:
    """The round that is the result: as the list of rounds says, else the last one."""
    told = (r.place for s in reversed(record.beside(rounds[0])) for r in s.why if r.kind == "scores")
    place = next(told, len(rounds))
    return rounds[place - 1] if 0 < place <= len(rounds) else rounds[-1]


def _score(span: Span) -> float | None:
    found = span.output.get("score") if isinstance(span.output, dict) and span.kind == "call" else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def calls(record: Record) -> str:
    """`2 calls, 1 from cache`, `3 calls, 2 replayed`: how many answers, and where those not paid for came from."""
    free = ((record.cached, "from cache"), (record.recalled, "replayed"))
    return ", ".join((counted(record.calls, "call"), *(f"{n:,} {where}" for n, where in free if n)))


def figures(record: Record) -> tuple[str, ...]:
    """Time, tokens, cost and calls of a run; no time if none is recorded."""
    took = (humanize.seconds(record.seconds),) if record.seconds else ()
    return (*took, tokens(record), total(record), calls(record))


def headline(record: Record) -> str:
    """`Done · triage · 3.4 s · 252 tokens · $0 · 2 calls, 1 from cache`."""
    return " · ".join((of(record).word, record.name, *figures(record)))


def label(record: Record, span: Span) -> str:
    """A step's name, with its visit number if visited more than once; for an item also a part of its input."""
    if span.kind == "item":
        said = humanize.one_line(_gist(span.input), 20)
        return f"{span.name} · {said}" if said else span.name
    if span.kind in {"vote", "tool", "more"}:
        return span.name
    again = sum(s.name == span.name for s in record.beside(span)) > 1
    return f"{span.name} {span.id.rpartition('#')[2]}" if again else span.name


def _gist(value: Any) -> Any:
    """Return the first text or number of a dict, which identifies a table row; a plain value unchanged."""
    if isinstance(value, dict):
        return next((v for v in value.values() if isinstance(v, str | int)), "")
    return value if isinstance(value, str | int | float) else ""
