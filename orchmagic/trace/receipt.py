"""The receipt of a run: a row per answer with its model, the reason for that model, and the cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

from orchmagic.core.text_format import counted, more, table
from orchmagic.trace import humanize, span_id, summary
from orchmagic.trace.baseline import Baseline, baseline, remarks
from orchmagic.trace.marks import by_name
from orchmagic.trace.record import NOT_VERIFIED, Record, Span

_HEADS = ("step", "model", "in", "out", "cost", "time", "tries", "cache", "why")
_FIGURES = range(2, 7)  # indices of the numeric columns
_STYLE = ' style="border-collapse:separate;border-spacing:8px 1px;margin:4px 0;white-space:nowrap;font-size:inherit"'
_WHY = 60  # characters of a reason, at most
_MOST = 200  # rows of a table, at most
_SUMS = ("attempts", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


class Receipt(list[dict[str, Any]]):
    """A list of rows, one dict per answer; a notebook shows it as a table, a terminal as `text`.

    `step` is the path of the step (`digest/map/3`). `reason` and `chosen` say why this model, and why this one of
    several deployments, answered. `cost` is in US dollars (None: price unknown; without the `unpriced` attempts;
    `charged`: reported by the endpoint). `estimated`: the endpoint sent no token counts, so tokens and cost are
    estimates. `perhaps_billed` attempts were sent and their answer came late or broken; they are not in `cost`, and can
    have cost `perhaps_cost` at most. `cache` is "hit", "miss" or "record" (a journal); for a hit, `age` is the
    seconds since the original answer and `saved` its cost. `verified` is False for an answer that failed the checks of
    its cascade, None if there were none.

    Attributes:
        totals: sums of the rows (`cost` of all known prices, number of `unpriced` attempts), and the estimates for
            comparison: `strongest` (a name), `one_strong_call` (for the same task), `all_on_strongest` (US dollars,
            None: unknown) and `saved` (the share of `one_strong_call` that this run did not cost; negative: it cost
            more; None: unknown).
        against: the estimates as a sentence; empty if no model was called or all models are free.
        heading: the heading above the folded receipt: what was saved, or what it is.
        notes: sentences about unknown prices, savings by the cache, and figures unusual for the pattern.
    """

    def __init__(self, record: Record) -> None:
        verified = {s.id: s.verified for s in record.spans}
        super().__init__(_row(record, ask, verified.get(ask.parent or "")) for ask in record.spans if ask.kind == "ask")
        against = baseline(record)
        self.totals = _totals(self, record, against)
        worth = against and record.usage.total and not against.free
        self.against = against.text() if against and worth else ""
        self.heading = (against.heading if against and worth else "") or "Calls and cost"
        self.notes = [*filter(None, (*_notes(self, record), self.against)), *remarks(record)]
        self._title = summary.headline(record)

    @property
    def text(self) -> str:
        """The receipt as plain text."""
        rows = [_HEADS, *map(_cells, self[:_MOST]), _last(self.totals)]
        columns = table([[humanize.one_line(cell, 200) for cell in row] for row in rows], right=_FIGURES)
        return "\n".join((self._title, columns, *_rest(self, _MOST), *self.notes))

    def __str__(self) -> str:
        return self.text  # for `print(run.receipt())`

    def html(self, most: int = _MOST) -> str:
        """Return an HTML table of at most `most` rows, escaped and without scripts."""
        rows = "".join(_tr("td", _cells(row)) for row in self[:most])
        total = _tr("th", _last(self.totals))
        notes = "".join(f"<div>{humanize.safe(note)}</div>" for note in (*_rest(self, most), *self.notes))
        table = f"<table{_STYLE}>{_tr('th', _HEADS)}{rows}{total}</table>"
        return f'<div style="overflow-x:auto">{table}</div>{notes}'

    def _repr_html_(self) -> str:
        head = f"<div><strong>{humanize.safe(self._title)}</strong></div>"
        return f"<div {humanize.BLOCK}>{head}{self.html()}</div>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("receipt" if cycle else self.text)


def _row(record: Record, ask: Span, verified: bool | None) -> dict[str, Any]:
    own = ask.age is None and not ask.recalled
    return {
        "step": span_id.path(ask.parent or ask.id),
        "model": ask.model,
        "alias": _alias(record, ask),
        "provider": ask.provider,
        "reason": "; ".join(map(str, ask.why)) or "first choice",
        "chosen": str(summary.chosen(record, ask) or ""),
        # saved records leave out an attempt that succeeded at once
        "attempts": len(summary.tries(record, ask)) or int(own),
        "input_tokens": ask.usage.input,
        "cached_tokens": ask.usage.cached,
        "output_tokens": ask.usage.output,
        "reasoning_tokens": ask.usage.reasoning,
        "estimated": ask.usage.estimated,
        "cost": ask.cost,
        "unpriced": ask.unpriced,
        "perhaps_billed": ask.perhaps,
        "perhaps_cost": ask.perhaps_cost,
        "charged": ask.charged,
        "seconds": round(ask.seconds, 4),
        "cache": "record" if ask.recalled else "miss" if own else "hit",
        "age": ask.age,
        "saved": ask.saved,
        "status": ask.status,
        "verified": verified,
    }


def _alias(record: Record, ask: Span) -> str:
    """Return the alias of the model that answered, else of the last one called."""
    tries = summary.tries(record, ask)
    answered = [s.model for s in tries if s.status == "done"]  # of two raced attempts, the first to finish
    fell = [reason.target for reason in ask.why if reason.kind == "fell_back"]
    return (answered or [s.model for s in tries] or fell or [ask.name.removeprefix("ask ")])[-1]


def _totals(rows: list[dict[str, Any]], record: Record, against: Baseline | None) -> dict[str, Any]:
    return {
        "calls": record.calls,
        **{name: sum(row[name] for row in rows) for name in _SUMS},
        "cost": math.fsum(row["cost"] for row in rows if row["cost"] is not None),
        "unpriced": record.unpriced,
        "estimated": sum(row["estimated"] for row in rows),
        "perhaps_billed": record.perhaps,
        "perhaps_cost": record.perhaps_cost,
        "seconds": round(record.seconds, 4),
        "strongest": against.name if against else None,
        "one_strong_call": against.one if against else None,
        "all_on_strongest": against.every if against else None,
        "saved": against.saved if against else None,
    }


def _notes(rows: list[dict[str, Any]], record: Record) -> Iterable[str]:
    if record.unpriced:
        yield f"Cost: {summary.total(record)}"
    if record.perhaps:
        calls = counted(record.perhaps, "attempt")
        most = f"at most {humanize.money(record.perhaps_cost)}" if record.perhaps_cost else "its price is not known"
        yield f"Perhaps billed, and not in the cost: {calls} whose answer came late or broken ({most})"
    if guessed := sum(row["estimated"] for row in rows):
        yield f"~ Estimated, because the endpoint sent no token counts: {guessed:,} of {len(rows):,}"
    if charged := sum(row["charged"] for row in rows):
        yield f"As the endpoint itself charged it, not by the price list: {charged:,} of {len(rows):,}"
    if saved := math.fsum(row["saved"] or 0.0 for row in rows if row["cache"] == "hit"):
        yield f"The cache saved {humanize.money(saved)}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    about = "~" * row["estimated"]
    alias = row["alias"] if row["alias"] not in {row["model"], ""} else ""
    who = " ".join(filter(None, (row["model"] or "-", f"({alias})" if alias else "", "at", row["provider"] or "-")))
    kept = {"hit": "from cache", "record": "replayed", "miss": ""}[row["cache"]]
    return (
        row["step"],
        who,
        about + _tokens(row["input_tokens"], row["cached_tokens"], "cached"),
        about + _tokens(row["output_tokens"], row["reasoning_tokens"], "thought"),
        about * bool(row["cost"]) + humanize.money(row["cost"], row["unpriced"]),
        humanize.seconds(row["seconds"]),
        str(row["attempts"]),
        kept if row["status"] in {"done", "retried"} else ", ".join(filter(None, (by_name(row["status"]).word, kept))),
        humanize.one_line(f"{NOT_VERIFIED}; " * (row["verified"] is False) + row["reason"], _WHY),
    )


def _last(totals: dict[str, Any]) -> tuple[str, ...]:
    about = "~" * bool(totals["estimated"])
    return (
        "total",
        counted(totals["calls"], "call"),
        about + _tokens(totals["input_tokens"], totals["cached_tokens"], "cached"),
        about + _tokens(totals["output_tokens"], totals["reasoning_tokens"], "thought"),
        about * bool(totals["cost"]) + humanize.money(totals["cost"], totals["unpriced"]),
        humanize.seconds(totals["seconds"]),
        f"{totals['attempts']:,}",
        "",
        "",
    )


def _tokens(count: int, part: int, word: str) -> str:
    return f"{count:,} ({part:,} {word})" if part else f"{count:,}"


def _rest(rows: list[dict[str, Any]], most: int) -> list[str]:
    return [more(len(rows) - most, "rows: run.receipt()")] if len(rows) > most else []


def _tr(tag: str, cells: Iterable[str]) -> str:
    """Return a table row, on a line of its own: texts to the left, numbers to the right."""
    shown = (
        f'<{tag} style="text-align:right">{escape(text).replace(" ", "&nbsp;")}</{tag}>'
        if i in _FIGURES
        else f'<{tag} style="text-align:left">{text and humanize.safe(text)}</{tag}>'
        for i, text in enumerate(cells)
    )
    return f"<tr>{''.join(shown)}</tr>\n"
