"""What a retry and a resume do again: only what failed, so that nothing is paid twice."""

from telling import Told

from orchmagic import Reply
from orchmagic.runtime.recovery import dead_letters, spans_to_reask, spans_to_retry
from orchmagic.runtime.replay import FreshSpans
from orchmagic.trace import events as e

INNER = """%%chain case --no-cache
kind
    What is it? {{ mail }}
answer
    Answer as {{ kind }}: {{ mail }}
"""
OUTER = "%%chain desk --no-cache --retry 0\ncases(run=case, over=mails, item=mail)\n"


def test_a_retry_does_only_the_innermost_failure_again(notebook):
    failing = [True]

    def answers(body):
        text = body["messages"][-1]["content"]
        if failing and text.startswith("Answer") and "lamp" in text:
            return Reply(fault="400")
        return "a kind" if text.startswith("What") else "an answer"

    notebook.script(answers)
    notebook.space["case"] = notebook.define(INNER)
    run = notebook.run(OUTER, mails=["lamp", "bed"])
    assert [letter["item"] for letter in run.dead_letters] == [1]
    failing.clear()
    before = len(notebook.scripted.requests)
    again = run.retry()
    asked = [body["messages"][-1]["content"] for body in notebook.scripted.requests[before:]]
    assert again.status == "done"
    assert asked == ["Answer as a kind: lamp"]  # what the failed item's first step gave was paid, and is kept


def test_of_spans_inside_each_other_the_innermost_is_retried():
    told = Told().step("map#1").step("map#1/1", "item").step("map#1/1/answer#1")
    for span in ("map#1/1/answer#1", "map#1/1", "map#1"):
        told(e.NodeFailed(span=span, error="500", error_kind="500"))
    told(e.RunFinished(status="failed", error="500"))
    assert spans_to_retry(told.record) == {"map#1/1/answer#1"}
    assert [letter["step"] for letter in dead_letters(told.record)] == ["map"]


def test_a_step_that_failed_although_a_model_answered_is_asked_again():
    told = Told().step("extract#1").ask("extract#1.1").step("reply#1")
    told(e.NodeFailed(span="extract#1", error="no JSON"), e.NodeFailed(span="reply#1", error="500"))
    assert spans_to_reask(told(e.RunFinished(status="failed")).record) == {"extract#1"}


def test_a_call_belongs_to_its_span_and_to_none_whose_number_begins_alike():
    again = FreshSpans(parts=frozenset({"map#1/2"}))
    assert "map#1/2.1" in again
    assert "map#1/2/answer#1" in again
    assert "map#1/20" not in again
