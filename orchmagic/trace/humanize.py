"""How figures are said, the same in every view: seconds, money, tokens, ages, marks."""

from __future__ import annotations

import json
import re
from typing import Any

from orchmagic.core.numbers import counted
from orchmagic.core.text import CUT, cut_note, shorten
from orchmagic.trace.record import Record, Span

MARKS = {
    "done": "✓", "failed": "✗", "skipped": "-", "retried": "↻", "running": "…", "waiting": "?", "cancelled": "■",
    "capped": "◔",
}  # fmt: skip
BLOCK = (  # attributes of what is shown as HTML: between two prices a page would else see a formula
    'class="tex2jax_ignore mathjax_ignore" '
    'style="font:13px system-ui,sans-serif;line-height:1.5;overflow-wrap:break-word"'
)
_LINES = 40  # of a value that is shown with a line for each entry
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]"
)
FELL_BACK = re.compile(r"fell back from .*? to (\S+):")


def seconds(value: float) -> str:
    """`12 ms`, `3.4 s`, `2 min 5 s`."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    return f"{int(value // _MINUTE)} min {value % _MINUTE:.0f} s"


def money(value: float | None, unpriced: int = 0) -> str:
    """`$0.0042`; unknown is `price unknown`, nothing is `$0`. Where calls are `unpriced` the value is not all of it:
    `at least $0.0042 + unknown`.
    """
    if value is None or (unpriced and not value):
        return "price unknown"
    if unpriced:
        return f"at least {money(value)} + unknown"
    if value == 0:
        return "$0"
    if value < 1e-6:  # noqa: PLR2004 - no price is that small
        return "<$0.000001"
    if value >= 1:
        return f"${value:,.2f}"
    return "$" + f"{value:.{4 if value >= 0.001 else 6}f}".rstrip("0").ljust(4, "0")  # noqa: PLR2004 - a tenth of a cent


def total(record: Record) -> str:
    """The run's cost, with the number of calls whose price is unknown."""
    return spent(record.cost, record.unpriced)


def spent(cost: float, unpriced: int) -> str:
    """`$0.0042`, `at least $0.0042 + 2 calls of unknown price`, `price unknown (2 calls)`."""
    if not unpriced:
        return money(cost)
    calls = counted(unpriced, "call")
    return f"at least {money(cost)} + {calls} of unknown price" if cost else f"price unknown ({calls})"


def bar(cost: float | None, unpriced: int) -> str:
    """What stands beside a bar, in little room: `$0.0042`, `at least $0.0042`, `unknown`; nothing where it was free."""
    if cost is None or (unpriced and not cost):
        return "unknown"
    return f"at least {money(cost)}" if unpriced else money(cost) if cost else ""


def age(value: float) -> str:
    """How old a cached answer is: `8 s`, `3 min`, `2 h`, `5 d`."""
    for unit, word in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if value >= unit:
            return f"{value / unit:.0f} {word}"
    return f"{value:.0f} s" if value >= 1 else "<1 s"


def cache(record: Record, step: Span) -> str:
    """`cached (3 min)`, `2 of 3 cached`, `from the record`, or nothing."""
    asks = [s for s in record.below(step) if s.kind == "ask"]
    hits = [s.age for s in asks if s.age is not None]
    if asks and all(s.recalled for s in asks):
        return "from the record"
    if not hits:
        return ""
    return f"cached ({age(max(hits))} old)" if len(hits) == len(asks) else f"{len(hits)} of {len(asks)} cached"


def models(record: Record, step: Span) -> str:
    """The models that answered in a step and in all that is inside it."""
    return ", ".join(dict.fromkeys(s.model for s in record.below(step) if s.kind == "ask" and s.model))


def parts(record: Record, step: Span) -> str:
    """`40 items, 2 failed`, `5 votes`, or nothing: what a step did side by side."""
    inner = [s for s in record.inside(step) if s.kind in {"item", "vote"}]
    if not inner:
        return ""
    left_out = " ".join(s.name for s in record.inside(step) if s.kind == "more")
    count = len(inner) + _number(rf"([\d,]+) more {inner[0].kind}s", left_out)
    told = [counted(count, inner[0].kind)]
    told += [
        f"{same:,} {status}"
        for status in ("failed", "running", "waiting", "cancelled")
        if (same := sum(s.status == status for s in inner) + _number(rf"([\d,]+) {status}", left_out))
    ]
    if isinstance(step.output, dict) and isinstance(agree := step.output.get("agreement"), int | float):
        told.append(f"agreement {agree:.0%}")
    return ", ".join(told)


def _number(pattern: str, text: str) -> int:
    """The number of what a saved record leaves out, and tells in the name of the span that stands for it."""
    found = re.search(pattern, text)
    return int(found[1].replace(",", "")) if found else 0


def waits(span: Span, limit: int = 60) -> str:
    """What a waiting step waits for, or nothing."""
    if span.status != "waiting" or not span.asked:
        return ""
    return f"waits for: {one_line(span.asked['question'], limit)}"


def scores(span: Span) -> str:
    """The scores of the rounds so far, or nothing."""
    return next((w for w in span.why if w.startswith("scores by round")), "")


def fallback(record: Record, step: Span) -> str:
    """The model that answered in place of the first one in a step's own questions, or nothing."""
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    return next((found[1] for ask in asks for why in ask.why if (found := FELL_BACK.match(why))), "")


def tries(record: Record, ask: Span) -> tuple[Span, ...]:
    """The attempts of a question."""
    return tuple(s for s in record.inside(ask) if s.kind == "attempt")


def chosen(record: Record, ask: Span) -> str:
    """Why the deployment that answered was asked, where its alias has several; else nothing."""
    asked = tries(record, ask)
    why = next((t.why for t in asked if t.status == "done"), asked[-1].why if asked else ())
    return why[0] if why else ""


def choices(record: Record, ask: Span) -> tuple[str, ...]:
    """Why each deployment was asked, where more than one was: `p@a: first choice`."""
    asked = tries(record, ask)
    return tuple(f"{t.model}: {w}" for t in asked for w in t.why) if len(asked) > 1 else ()


def again(record: Record, step: Span) -> str:
    """`1 retry, 2 re-asks` of a step's own questions, or nothing."""
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    retried = sum(s.status == "retried" for ask in asks for s in record.inside(ask))
    asked = sum(s.status == "retried" for s in asks)
    told = [counted(retried, "retry", "retries")] if retried else []
    return ", ".join(told + ([counted(asked, "re-ask")] if asked else []))


def story(record: Record, step: Span) -> tuple[str, ...]:
    """What was unusual about a step, part by part, the most telling first."""
    target = fallback(record, step)
    return (
        f"fell back to {one_line(target, 24)}" if target else "",
        cache(record, step),
        score(record, step),
        parts(record, step),
        again(record, step),
    )


def score(record: Record, span: Span) -> str:
    """`score 8`, of the best one of several rounds `score 9 ★ best`, or nothing."""
    own = _score(span)
    if own is None:
        return ""
    rounds = [n for s in record.beside(span) if s.name == span.name and (n := _score(s)) is not None]
    first = next(s for s in record.beside(span) if s.name == span.name and _score(s) == max(rounds))
    return f"score {own:g}" + (" ★ best" if len(rounds) > 1 and span.id == first.id else "")


def _score(span: Span) -> float | None:
    found = span.output.get("score") if isinstance(span.output, dict) and span.kind == "call" else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def said(value: Any) -> Any:
    """Messages as who said what; anything else as it is."""
    messages = isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)
    return "\n".join(f"{m['role']}: {shown(m.get('content'))}" for m in value) if messages else value


def headline(record: Record) -> str:
    """`triage · done · 3.4 s · 252 tokens · $0 · 2 calls, 1 cached`."""
    calls = counted(record.calls, "model call")
    if record.cached:
        calls += f", {record.cached} cached"
    if record.recalled:
        calls += f", {record.recalled} from the record"
    figures = (seconds(record.seconds), counted(record.usage.total, "token"), total(record), calls)
    return " · ".join((record.name, record.status, *figures))


def shown(value: Any, limit: int = 2_000) -> str:
    """A value as readable text without control characters, cut at `limit`."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    clean = _CONTROL.sub("\ufffd", text)
    before = CUT.search(clean) if isinstance(value, str) else None  # a saved record holds it cut already
    body = clean[: before.start()] if before else clean
    if len(body) <= limit:
        return clean
    if before is None and "… (" in clean and not isinstance(value, str):
        return f"{body[:limit]}…"  # parts of it are cut: nobody knows how long it was
    return f"{body[:limit]}{before[0] if before else cut_note(len(clean))}"


def _json(value: Any) -> str:
    """A line for each entry, where those are few."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if text.count("\n") <= _LINES else json.dumps(value, ensure_ascii=False, default=str)


def one_line(value: Any, limit: int = 100) -> str:
    """The same on one line."""
    text = " ".join(shown(value, 10 * limit).split())
    return shorten(text, limit)


def label(record: Record, span: Span) -> str:
    """A step's name, with its visit when it was visited more than once; of an item also what it is."""
    if span.kind == "item":
        said = one_line(_gist(span.input), 20)
        return f"{span.name} · {said}" if said else span.name
    if span.kind in {"vote", "tool", "more"}:
        return span.name
    again = sum(s.name == span.name for s in record.beside(span)) > 1
    return f"{span.name} {span.id.rpartition('#')[2]}" if again else span.name


def _gist(value: Any) -> Any:
    """Of a record its first text: a row of a table is known by it."""
    if isinstance(value, dict):
        return next((v for v in value.values() if isinstance(v, str | int)), "")
    return value if isinstance(value, str | int | float) else ""


def path(span: str) -> str:
    """Where a span stands, without visits: `digest/map/3` for `digest#1/map#1/3`."""
    return "/".join(part.partition("#")[0] for part in span.split("/"))
