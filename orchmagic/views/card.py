"""What stands under a cell: one MIME bundle, the same while the run goes on and at its end.

JupyterLab and Notebook 7 draw `payload`, our own MIME type, as a card; others show Plotly, HTML or text. The payload is
bounded: a saved notebook stays small, and its lines change only where something of the run changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.trace import humanize, summary
from orchmagic.trace.baseline import remarks
from orchmagic.trace.item_table import VOTE, ItemTable
from orchmagic.trace.questions import pending_questions
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import ENDS, MIME, NOT_VERIFIED, SAID_NO, VERSION, Record, Span
from orchmagic.views import answer, bundle
from orchmagic.views.span_list import beside, few
from orchmagic.views.svg import svg_of
from orchmagic.views.truncate import cut, without_sole_attempts

PLOTLY = "application/vnd.plotly.v1+json"

_VALUES, _ANSWER, _TABLE = 14_000, 6_000, 12_000  # bytes: of all values, of the answer, of the cells of the table
_LEAST, _CELL, _LINE = 60, 100, 400  # bytes of a value at least; characters of a cell, of a sentence
_SUM = 200  # bytes of a value that a step over items made of theirs
_SPANS, _FIRST = 160, 100  # spans at most; of more the first ones, and the last
_NODES = 16  # a larger graph is not drawn: it would be too small to read
_WHY = 300  # bytes of a reason
_TOTALS = ["run", "name", "pattern", "status", "doubt", "started", "cost", "unpriced", "calls", "cached", "recalled"]


def output(record: Record, *, card: bool) -> dict[str, Any]:
    """Return the MIME bundle of a run that has ended. `card`: the front end draws ours, so Plotly's is left out."""
    record = settled(record)
    said, shown = answer.bundle(record), bundle(record)
    if card:
        shown.pop(PLOTLY, None)
    joined = {mime: f"{said[mime]}\n{shown[mime]}" for mime in said}
    return {**shown, **joined, MIME: payload(record)}


def settled(record: Record) -> Record:
    """Where no model was asked the clock tells nothing: without it, running an unchanged cell again changes nothing."""
    if record.calls or not record.cached or record.status != "done":
        return record
    spans = tuple(
        replace(s, start=0.0, end=None if s.end is None else 0.0, age=None if s.age is None else 0.0)
        for s in record.spans
    )
    return replace(record, started="", seconds=0.0, spans=spans)


def payload(record: Record, *, live: bool = False, says: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """Return the JSON of our MIME type for a notebook: totals, spans as a line of JSON each, and what the card adds.

    `live`: the run goes on; `says` is (call, the end of its streamed answer).
    """
    spans = _spans(record)
    card: dict[str, Any] = {"why": humanize.one_line(_why(record), _LINE)}
    if 1 < sum(kind not in ENDS for _, kind in record.picture.nodes) <= _NODES:
        active = tuple(dict.fromkeys(s.name for s in record.steps if s.status in {"running", "waiting"}))
        card["graph"] = svg_of(record.picture, active if live else None)
    source = None if live else _source(record, spans)
    card |= _going_on(record, says) if live else _result(record, source)
    source = None if "table" in card else source  # the rows of the table are its value
    usage = {k: v for k, v in _plain(record.usage).items() if v}
    totals = {name: getattr(record, name) for name in _TOTALS}
    return {
        "version": VERSION,
        **{name: value for name, value in totals.items() if value},
        "seconds": round(record.seconds, 3),
        "usage": usage,
        "inputs": {k: humanize.one_line(v, 200) for k, v in list(record.inputs.items())[:20]},
        **{k: humanize.one_line(v, _LINE) for k, v in (("error", record.error), ("reason", record.reason)) if v},
        "spans": [_line(data) for data in _compact(spans, source)],
        "card": card,
    }


def _source(record: Record, spans: list[Span]) -> str | None:
    """Return the step whose output is that of the run: the value is saved once."""
    return next((s.id for s in reversed(spans) if s.parent is None and s.output == record.output), None)


def _result(record: Record, source: str | None) -> dict[str, Any]:
    """Return what stands below the timeline: rows, the answer, or the subject of a question; and the cost note."""
    found: dict[str, Any] = {"note": note} if (note := Receipt(record).against) else {}
    if record.status == "waiting":
        asked = next(iter(pending_questions(record)), None)
        if asked is not None:
            question = humanize.one_line(asked.question, _LINE)
            found["answer"] = {"question": question, "value": cut(asked.value, _ANSWER)}
    elif rows := table(record):
        found["table"] = rows
    elif record.output is not None:
        found["answer"] = {"span": source} if source else {"value": cut(record.output, _ANSWER)}
        if record.status != "done":
            found["answer"]["last"] = True
    return found


def _why(record: Record) -> str:
    """Return the sentence below the header: why the run failed or stopped, or what is in doubt.

    The question of a run that waits stands below the timeline, where it is answered.
    """
    if record.status == "waiting":
        return ""
    if record.status == "failed":
        return next(answer.troubles(record), "")
    if record.status == "done" and record.doubt and not record.reason:
        if checks := _refusals(record):
            return f"Every answer was refused by a check: {', '.join(checks)}"
        return next((f"{s.name}: {_doubted(record, s)}" for s in reversed(record.steps) if s.doubt), "")
    return record.error or record.reason or next(remarks(record, above=True), "")


def _refusals(record: Record) -> list[str]:
    """Return the checks, as they were written, that said no in a run whose answer nothing verified."""
    gates = (s for s in record.steps if s.kind == "gate" and s.doubt == SAID_NO and not s.why)
    return [*dict.fromkeys(str(s.input) for s in gates)] if record.doubt == NOT_VERIFIED else []


def _doubted(record: Record, span: Span) -> str:
    return "; ".join(map(str, span.why)) or summary.parts(record, span) or span.doubt


def _going_on(record: Record, says: tuple[str, str]) -> dict[str, Any]:
    """Return what only a run under way has: steps to come, items done, limits, a batch, and what is being written."""
    begun = {s.name for s in record.steps}
    nodes = [n for n, kind in record.picture.nodes if kind not in ENDS and kind != "start" and n not in begun]
    known = {k: v for k, v in record.limits.items() if k in {"deadline", "max_tokens", "budget"} and v}
    found: dict[str, Any] = {"pending": nodes[:_NODES], "limits": known}
    for step in reversed(record.steps):
        given = step.input.get("items") if isinstance(step.input, dict) else None
        if step.status == "running" and isinstance(given, int):
            items = [s for s in record.inside(step) if s.kind == "item"]
            found["items"] = [sum(s.end is not None for s in items), given, round(step.start, 2)]
            break
    if wait := summary.batch(record.spans):
        found["waits"] = wait
    call, text = says
    return {**found, "says": [call.partition("#")[0], text[-600:]]} if text else found


def _spans(record: Record) -> list[Span]:
    """Choose the spans: of many items the telling ones and their sum, and of a long run the first and the last."""
    found = list(_few(record, record.steps))
    found = without_sole_attempts(found)
    if len(found) <= _SPANS:
        return found
    found = [s for s in found if s.kind not in {"ask", "attempt"} or s.error]
    if len(found) <= _SPANS:
        return found
    kept = {s.id: s for s in (*found[:_FIRST], *found[_FIRST - _SPANS :])}
    return [s for s in kept.values() if s.parent is None or s.parent in kept]


def _few(record: Record, spans: Sequence[Span]) -> Iterator[Span]:
    for span in few(spans, beside(record, spans)):
        yield span
        yield from _few(record, record.inside(span))


def _compact(spans: list[Span], source: str | None) -> Iterator[dict[str, Any]]:
    """Yield each span without what is empty, known from its parent, or too long."""
    above = {s.id: s for s in spans}
    values = {}
    for span in spans:
        parent = above.get(span.parent or "")
        known = () if parent is None else (parent.input, parent.output)
        values[span.id] = {k: v for k in ("input", "output") if (v := getattr(span, k)) is not None and v not in known}
    whole = {s.parent for s in spans if s.kind == "item"} - {source}  # what such a step makes, its items say
    sizes = ((len(_line(v)), span) for span, given in values.items() for v in given.values())
    limit = _share([min(size, _SUM) if span in whole else size for size, span in sizes], _VALUES)
    for span in spans:
        data: dict[str, Any] = {
            "id": span.id,
            "parent": span.parent,
            "kind": span.kind,
            "name": span.name,
            "status": span.status,
            "start": round(span.start, 3),
            "end": None if span.end is None else round(span.end, 3),
            "model": span.model,
            "provider": span.provider,
            "usage": {k: v for k, v in _plain(span.usage).items() if v},
            "cost": span.cost and round(span.cost, 8),
            "unpriced": span.unpriced,
            "age": span.age,
            "recalled": span.recalled,
            "error": span.error and humanize.shown(span.error, 2 * _LINE),
            "doubt": span.doubt,
            "left_out": dict(span.left_out),
            "asked": span.asked and cut(span.asked, limit),
            "why": [_reason(why) for why in span.why],
        }
        data = {k: v for k, v in data.items() if v or (k in {"end", "cost"} and v is None) or k == "start"}
        if span.status == "done":
            del data["status"]
        data["cut"] = []
        for name, value in values[span.id].items():
            most = _ANSWER if span.id == source and name == "output" else limit
            data[name] = cut(value, min(most, _SUM) if span.id in whole else most)
            if data[name] != value:
                data["cut"].append(name)
        if not data["cut"]:
            del data["cut"]
        yield data


def _reason(why: Any) -> dict[str, str]:
    found = {"kind": why.kind, "words": humanize.shown(str(why), _WHY)}
    return {**found, "target": why.target} if why.target else found


def _share(sizes: Iterable[int], whole: int) -> int:
    """Return the most bytes of a value, so that all have `whole` together; short ones leave room to the others."""
    left = whole
    waiting = sorted(sizes)
    for i, size in enumerate(waiting):
        share = left // (len(waiting) - i)
        if size > share:
            return max(_LEAST, share)
        left -= size
    return whole


def table(record: Record, most: int = _TABLE) -> dict[str, Any] | None:
    """Return the rows of a run whose last step ran over items: failed first, then those in doubt, then by number.

    `most`: characters of all rows; those beyond it are left out, and `total` counts them. None: no such step.
    """
    step = record.steps[-1] if record.steps else None
    items = ItemTable(record, step.name) if step else None
    if step is None or not items or items.step != step.id:
        return None
    columns = list(dict.fromkeys(name for row in items for name in _cells(row)))
    rows: list[str] = []
    size = 0
    for row in items:
        rank, cells = items.rank(row), _cells(row)
        told = [row["error"] or row["status"]] if rank == 0 else [cells.get(name) for name in columns]
        rows.append(_line([rank, row["row"], *map(_cell, (_first(row["input"]), *told))]))
        size += len(rows[-1])
        if size > most:
            break
    return {
        "columns": ["#", "input", *columns],
        "rows": rows,
        "total": len(items) + items.left_out.total(),
        "said": items.headline,
        "step": step.id,
    }


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    made = row["output"]
    cells = made if isinstance(made, dict) else {} if made is None else {"output": made}
    return {k: v for k, v in cells.items() if k not in VOTE}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    return value if value is None or isinstance(value, bool | int) else humanize.one_line(value, _CELL)


def _first(value: Any) -> Any:
    """Return what a row is known by: of several named values the first text or number."""
    if isinstance(value, dict):
        return next((v for v in value.values() if isinstance(v, str | int | float)), value)
    return value


def _plain(usage: Any) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in ("input", "output", "cached", "reasoning", "estimated")}


def _line(value: Any) -> str:
    """Return compact JSON: a notebook stores it as one line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace").decode()
