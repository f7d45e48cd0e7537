"""The rows of a run that works on many items: each item beside what was made of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.trace import marks
from orchmagic.trace.record import DOUBTS, LOW_CONFIDENCE, Record, Span

AGREED = 0.75  # a vote with a lower agreement is shown among the first rows
VOTE = frozenset({"dissent", "tie", "decided"})  # of a vote, without a column of their own
_BROKEN = ("failed", "cancelled", "rejected")


class ItemTable(list[dict[str, Any]]):
    """A list of dicts, one per item, in the order to look at them: failed, in doubt or low agreement, then by number.

    Keys: `row` (from 1), `status`, `doubt`, `input`, `output` (JSON), `error` (empty if none).

    Attributes:
        step: the id of the step; empty if no step of the run worked on items.
        left_out: items that a shortened record does not hold, by status or doubt.
    """

    def __init__(self, record: Record, step: str | None = None) -> None:
        found = _step(record, step)
        self.step = found.id if found else ""
        inside = record.inside(found) if found else ()
        self.left_out = sum((Counter(s.left_out) for s in inside), Counter[str]())
        rows = (_row(s) for s in inside if s.kind == "item")
        super().__init__(sorted(rows, key=lambda row: (_rank(row), row["row"])))

    @property
    def headline(self) -> str:
        """`200 rows · 4 failed · 6 with low agreement`."""
        counts = Counter(row["doubt"] or row["status"] for row in self) + self.left_out
        words = {s: marks.by_name(s).word.lower() for s in _BROKEN} | {doubt: doubt for doubt in DOUBTS}
        said = [f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]]
        low = sum(_rank(row) == 1 and not row["doubt"] for row in self)
        said += [f"{low:,} with low agreement"] if low else []
        return " \u00b7 ".join((counted(counts.total(), "row"), *said))

    @staticmethod
    def sign(row: dict[str, Any]) -> str:
        """The sign of a row's mark; one with low agreement wears the sign of doubt."""
        doubt = row["doubt"] or (LOW_CONFIDENCE if _rank(row) == 1 else "")
        return marks.by_name(doubt or row["status"]).sign

    @staticmethod
    def rank(row: dict[str, Any]) -> int:
        """0 for a row that failed, 1 for one in doubt or with low agreement, 2 for others: the order of the rows."""
        return _rank(row)

    @property
    def columns(self) -> list[str]:
        """The fields of the outputs; empty if outputs are no dicts."""
        fields = (row["output"] for row in self if isinstance(row["output"], dict))
        return [name for name in dict.fromkeys(key for output in fields for key in output) if name not in VOTE]


def _step(record: Record, name: str | None) -> Span | None:
    """Return the last step that worked on items, of this name if one is given."""
    steps = (s for s in reversed(record.steps) if name in {None, s.name})
    return next((s for s in steps if any(inner.kind == "item" for inner in record.inside(s))), None)


def _row(span: Span) -> dict[str, Any]:
    number = int(span.name) if span.name.isdigit() else 0
    known = {"row": number, "status": span.status, "doubt": span.doubt, "input": span.input}
    return {**known, "output": span.output, "error": span.error or ""}


def _rank(row: dict[str, Any]) -> int:
    agreement = row["output"].get("agreement") if isinstance(row["output"], dict) else None
    low = isinstance(agreement, int | float) and agreement < AGREED
    return 0 if row["status"] in _BROKEN else 1 if row["doubt"] or low else 2
