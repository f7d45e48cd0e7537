"""What older versions stored can be read: events under the names of then, and reasons that are sentences."""

import json
from pathlib import Path

import pytest

from orchmagic import views
from orchmagic.trace import events, reasons
from orchmagic.trace.reasons import Reason
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import MIME, Record
from orchmagic.trace.run_trace import Trace

STORED = Path(__file__).resolve().parents[1] / "golden" / "history_before_reasons.json"


@pytest.fixture
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


def whys(record):
    return {span.id: [str(reason) for reason in span.why] for span in record.spans}


def test_a_run_that_waits_goes_on_from_events_of_the_names_of_then(stored):
    trace = Trace("r9", "refunds", "chain")
    trace.load(events.from_json(data) for data in stored["events"])
    record, before = trace.snapshot(), stored["record"]
    assert [(s.id, s.status, s.cost, s.usage.total) for s in record.spans] == [
        (s["id"], s["status"], s["cost"], s["usage"]["input"] + s["usage"]["output"]) for s in before["spans"]
    ]
    assert (record.status, record.cost, record.calls) == ("waiting", before["cost"], before["calls"])
    assert whys(record) == {
        "extract#1": [],
        "extract#1.1": [
            "guard pii (redact) found email in the input",
            "attempt 1 failed (500 from host: no); tried again after 0.5 s",
            "switched from small to large: 500 from host: no (2 attempts)",
            "repaired locally: a trailing comma",
        ],
        "extract#1.1/1": ["first choice"],
        "extract#1.1/2": [],
        "extract#1.1/3": [],
        "gate_1#1": ["→ reply: extract.product is false (extract.product = 'lamp')"],
        "note#1": ["when x is false"],
        "reply#1": [],
        "reply#1.1": [
            "called again to check the semantic cache, 0.970: the same answer as to Where is it?",
            "replayed: paid before the run was resumed",
        ],
        "approval_1#1": [],
        "approval_2#1": ["rejected by a person: no"],
    }
    assert Receipt(record)[0]["alias"] == "large"


def test_events_are_written_under_the_names_of_today_and_read_again(stored):
    for old in stored["events"]:
        event = events.from_json(old)
        data = json.loads(json.dumps(events.to_json(event)))
        assert data["event"].islower()
        assert events.from_json(data) == event


def test_a_record_whose_reasons_are_sentences_is_read_and_shown(stored):
    record = Record.from_json(stored["record"])
    sentences = [w for span in stored["record"]["spans"] for w in span["why"]]
    assert len(sentences) > 6
    assert [reason for span in record.spans for reason in span.why] == [Reason("note", text=w) for w in sentences]
    assert Record.from_json(views.bundle(record)[MIME]).spans[1].why == record.spans[1].why


def test_what_no_version_wrote_is_an_error(stored):
    with pytest.raises(KeyError):
        events.from_json({**stored["events"][0], "event": "RunForgotten"})
    with pytest.raises(TypeError):
        reasons.from_json({"kind": "note", "text": "a", "mood": "good"})
