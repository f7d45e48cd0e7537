"""Reasons: data that any reader can use, words that are made in one place, and nothing quoted where that is unwanted."""

import json
from dataclasses import fields

import pytest

from orchmagic.trace import reasons
from orchmagic.trace.reasons import AGREEMENT, Reason, words

CLOSED = Reason("unavailable", cause="circuit", deployment="p@b", wait=30.0, text="500 SECRET")
FIGURES = {"uptime": 0.99, "throughput": 82.0, "first_token": None, "latency": 0.8, "price": 0.4}
# (a reason, its words, those that quote nobody)
WORDS = [
    (Reason("note", text="SECRET"), "SECRET", ""),
    (Reason("condition_false", expression="x > 1"), "when x > 1 is false", "when x > 1 is false"),
    (Reason("not_reached"), "the run had failed", "the run had failed"),
    (
        Reason("decision", cause="gate", choice="draft", expression="x", text="x = SECRET"),
        "→ draft: x is false (x = SECRET)", "→ draft: x is false",
    ),
    (
        Reason("decision", cause="votes", choice="SECRET", used=2, among=3, confidence=2 / 3, basis=AGREEMENT, tie=True),
        "→ SECRET: 2 of 3 votes, a tie: the first voted wins (agreement 67%)",
        "→ 2 of 3 votes, a tie: the first voted wins (agreement 67%)",
    ),
    (
        Reason("decision", cause="votes", choice="a", used=2, among=3, limit=0.9, source="large"),
        "→ a: 2 of 3 votes, less than 0.9: large decides", "→ a: 2 of 3 votes, less than 0.9: large decides",
    ),
    (
        Reason("decision", cause="unsure", choice="human", text="SECRET", confidence=0.5, basis="logprobs", limit=0.6),
        "Went to human: not sure enough of 'SECRET' (confidence 0.50, logprobs; 0.6 needed)",
        "Went to human: not sure enough (confidence 0.50, logprobs; 0.6 needed)",
    ),
    (
        Reason("decision", cause="unsure", choice="other", text="SECRET", limit=0.6),
        "Went to other: confidence unknown (0.6 needed)", "Went to other: confidence unknown (0.6 needed)",
    ),
    (
        Reason("decision", cause="no_label", choice="other", limit=0.6),
        "Went to other: the router gave no valid label", "Went to other: the router gave no valid label",
    ),
    (
        Reason("decision", cause="limit", choice="capped", detail="Stopped after 3 rounds without an answer"),
        "→ stopped at its limit: Stopped after 3 rounds without an answer",
        "→ stopped at its limit: Stopped after 3 rounds without an answer",
    ),
    (Reason("journal"), "replayed: the answer of the earlier run", "replayed: the answer of the earlier run"),
    (
        Reason("journal", paid=True),
        "replayed: paid before the run was resumed", "replayed: paid before the run was resumed",
    ),
    (Reason("decision", cause="no_arm", choice="x", text="'SECRET'"), "Went to x: no arm for 'SECRET'", "Went to x: no arm"),
    (Reason("person", choice="reject", text="SECRET"), "rejected by a person: SECRET", "rejected by a person"),
    (Reason("person"), "answered by a person", "answered by a person"),
    (reasons.scores([4, 9, 9], 3), "scores by round: 4, 9, 9; best: round 3", "scores by round: 4, 9, 9; best: round 3"),
    (Reason("called_again", text="SECRET"), "the model is called again: SECRET", "the model is called again"),
    (
        Reason("attempt_failed", attempt=1, error_kind="429", text="429 SECRET", wait=0.5),
        "attempt 1 failed (429 SECRET); tried again after 0.5 s", "attempt 1 failed (429); tried again after 0.5 s",
    ),
    (
        Reason("fell_back", source="a", target="b", error_kind="500", text="500 SECRET"),
        "switched from a to b: 500 SECRET", "switched from a to b: 500",
    ),
    (
        Reason("semantic_hit", score=0.97, hit=3, text="SECRET"),
        "semantic cache, 0.970, hit 3: SECRET", "semantic cache, 0.970, hit 3",
    ),
    (
        Reason("deployment", cause="score", score=0.1, place=1, among=2, figures=FIGURES, probe=True, parts=(CLOSED,)),
        ("score 0.100, number 1 of 2 (uptime 99%, 82 tokens/s, 0.80 s, $0.40/M); a probe: its circuit was half-open; "
        "p@b skipped for 30 s (circuit open): 500 SECRET"),
        ("score 0.100, number 1 of 2 (uptime 99%, 82 tokens/s, 0.80 s, $0.40/M); a probe: its circuit was half-open; "
        "p@b skipped for 30 s (circuit open)"),
    ),
    (
        Reason("deployment", cause="soonest", parts=(CLOSED,)),
        "all are skipped after failures; its circuit closes first (p@b skipped for 30 s (circuit open): 500 SECRET)",
        "all are skipped after failures; its circuit closes first (p@b skipped for 30 s (circuit open))",
    ),
]  # fmt: skip  # a table


@pytest.mark.parametrize(("reason", "whole", "unquoted"), WORDS)
def test_a_reason_has_words_and_others_that_quote_nobody(reason, whole, unquoted):
    assert str(reason) == whole
    assert words(reason, quoted=False) == unquoted


@pytest.mark.parametrize("reason", [row[0] for row in WORDS])
def test_a_reason_travels_as_its_fields_and_its_words(reason):
    data = json.loads(json.dumps(reasons.to_json(reason)))
    assert reasons.from_json(data) == reason
    assert data["words"] == str(reason)
    assert data.keys() <= {"words", *(f.name for f in fields(Reason))}


def test_only_the_last_of_many_scores_are_listed_but_the_best_is_known():
    many = reasons.scores([9.0, *range(20)], 21)
    assert str(many).startswith("scores by round: … 8, 9")
    assert str(many).endswith("; best: round 21")


def test_every_text_of_a_reason_can_be_shortened_also_in_its_parts():
    short = Reason("deployment", cause="soonest", parts=(CLOSED,)).map_texts(lambda text: text[:3])
    assert (short.kind, short.parts[0].kind, short.parts[0].text) == ("deployment", "unavailable", "500")
