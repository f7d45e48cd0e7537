"""The trace that pytest and the TypeScript tests of labextension/ both read: a real run of the scripted model.

`python tests/support/golden_trace.py` writes it again. Its clock is the number of the event, so that it never changes by itself.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchmagic import Reply, Script, Session, install, views
from orchmagic.models.providers.scripted import remove
from orchmagic.runtime.run import Run
from orchmagic.trace import humanize, marks, span_id, summary
from orchmagic.trace.events import AttemptFailed, CacheHit
from orchmagic.trace.record import Record
from orchmagic.views import span_list
from orchmagic.views.timeline.rows import critical

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TRACE, LINES = GOLDEN / "trace.json", GOLDEN / "trace_lines.json"
TICK = 0.05  # seconds between two events

DESK = """%%chain desk
kind -> label: "refund" | "other"
    What is this mail about? {{ mail }}
note(when=kind.label == "refund")
    Write a note for the cashier about: {{ mail }}"""
CELL = """%%chain morning --concurrency 1
mails = [m.strip() for m in inbox.split("|")]
urgent(over=mails, item=mail) -> urgent: bool, quote: str
    Is it urgent? Copy the words that say so. {{ mail }}
tone(votes=3, by=label) -> label: "calm" | "angry", why: str
    How do these people feel? {{ inbox }}
cases(run=desk, over=mails[:2], item=mail)
draft(retry=1) -> to: str, amount: float
    Who gets how much? {{ cases }}
gate draft.amount < 20 else retry 1
skipped(when=tone.label == "angry")
    Calm them down.
approve "Send this payment?"
reply
    Tell {{ draft.to }} that {{ draft.amount }} is on its way."""
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\u202e\x1b[31m"
INBOX = " | ".join(["Where is the lamp? It was due today!", HOSTILE, *(f"mail {n}" for n in range(3, 16))])


class Answers:
    """What the model says: of fifteen mails it refuses one, one vote of three is another, and the draft takes three tries."""

    DRAFTS = ('{"to": "Ann"}', {"to": "Ann", "amount": 98.5}, {"to": "Ann", "amount": 12.5})

    def __init__(self) -> None:
        self.votes = 0
        self.drafts = iter(self.DRAFTS)

    def __call__(self, body: dict[str, Any]) -> Any:
        first, *_ = (m["content"] for m in body["messages"] if m["role"] == "user")
        if first.startswith("Is it urgent?"):
            said = {"urgent": "today" in first, "quote": first.partition("say so. ")[2]}
            return Reply(fault="refusal") if first.endswith("mail 4") else said
        if first.startswith("How do these"):
            self.votes += 1
            return {"label": "angry" if self.votes == 2 else "calm", "why": f"vote {self.votes}"}
        if first.startswith("What is this mail"):
            return {"label": "refund" if "lamp" in first else "other"}
        return next(self.drafts) if first.startswith("Who gets") else f"Note: {first[:40]}"


def made() -> tuple[Record, list[dict[str, Any]]]:
    """The record as a notebook saves it, and the lines that the static views make of it."""
    run = _run()
    events = [_still(e, n) for n, e in enumerate(run.trace.events)]
    run.trace.events[:] = events
    run.trace.load(events)
    run.trace.run, run.trace.started = "r7", "2026-11-20T09:30:00+00:00"
    record = replace(run.trace.snapshot(), run="r7", seconds=round(len(events) * TICK, 2), strongest=None, usual=None)
    saved = views.bound(record)
    return saved, _lines(saved)


def _run() -> Run:
    install(Script(Answers()))
    with tempfile.TemporaryDirectory() as folder:
        where = {"ORCHMAGIC_MODEL": "scripted", "ORCHMAGIC_CACHE_DIR": folder, "ORCHMAGIC_HISTORY": "off"}
        space: dict[str, object] = {"inbox": INBOX}
        session = Session(space, environ=where, notify=lambda _: None)
        try:
            space["desk"] = session.define("chain", *DESK.removeprefix("%%chain ").split("\n", 1))
            run = session.define("chain", *CELL.removeprefix("%%chain ").split("\n", 1))()
        finally:
            session.close()
            remove()
    return run


def _still(event: Any, number: int) -> Any:
    event = replace(event, at=round(number * TICK, 2))
    if isinstance(event, CacheHit):
        event = replace(event, age=180.0)
    if isinstance(event, AttemptFailed) and event.wait is not None:
        event = replace(event, wait=0.5)
    return event


def _lines(record: Record) -> list[dict[str, Any]]:
    shown, more = span_list.lines(record, 10_000)
    assert more == 0
    hangs = critical(record.steps)
    told = [
        {
            "id": s.id,
            "depth": depth,
            "label": summary.label(record, s),
            "mark": "" if s.kind == "more" else marks.by_name(s.status).sign,
            "seconds": humanize.seconds(s.seconds),
            "tokens": s.usage.total,
            "cost": humanize.money(s.cost),
            "cache": summary.cache(record, s),
            "models": summary.models(record, s),
            "parts": summary.parts(record, s),
            "waits": summary.waits(s),
            "fallback": summary.fallback(record, s),
            "score": summary.score(record, s),
            "path": span_id.path(s.id),
            "out": humanize.one_line(s.output),
            "critical": depth == 0 and s.id in hangs,
        }
        for s, depth in shown
    ]
    return [{"headline": summary.headline(record)}, *told]


def texts() -> tuple[str, str]:
    """What stands in the two files."""
    record, lines = made()
    plug = views.VIEWS.get("trace_mime")
    first, second = (json.dumps(x, ensure_ascii=False, indent=1) + "\n" for x in (plug.render(record), lines))
    return first, second


if __name__ == "__main__":
    for file, text in zip((TRACE, LINES), texts(), strict=True):
        file.write_text(text, encoding="utf-8")
