"""The rules that runs and exported modules share, by themselves."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, TypeAdapter

from orchmagic.core.portable import (
    FAULTS,
    UnfitReplyError,
    ballot,
    count_votes,
    fault_of,
    find_json,
    is_too_long,
    retry_wait,
    unusable,
    validate_with,
)
from orchmagic.errors import ModelError
from orchmagic.models.types import Deployment
from orchmagic.models.wire.http_errors import rejected


@pytest.mark.parametrize("reply", ['{"a": NaN}', '{"a": Infinity}', "-Infinity"])
def test_numbers_that_json_does_not_have_are_no_json(reply):
    with pytest.raises(UnfitReplyError):
        find_json(reply)


class Six(BaseModel):
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int


def test_five_problems_are_shown_and_the_others_are_counted():
    with pytest.raises(UnfitReplyError) as raised:
        validate_with(TypeAdapter(Six), {"a": 1})
    assert str(raised.value).count("missing") == 5
    assert "more" not in str(raised.value)
    with pytest.raises(UnfitReplyError) as raised:
        validate_with(TypeAdapter(Six), {})
    assert str(raised.value).count("missing") == 5
    assert str(raised.value).endswith("e: missing; and 1 more")


def test_agreement_is_the_share_of_all_votes_that_were_asked():
    assert count_votes(["yes", "Yes ", "no"], 4, "") == ("yes", {"agreement": 0.5, "dissent": ["no"], "tie": False})
    assert count_votes(["a", "b"], 2, "") == ("a", {"agreement": 0.5, "dissent": ["b"], "tie": True})
    assert count_votes([{"x": 1, "y": 2}, {"x": 1, "y": 3}], 2, "x")[1]["agreement"] == 1


def test_capitals_and_spaces_do_not_make_another_vote():
    assert ballot(" Guilty\n", "") == ballot("guilty", "")
    assert ballot({"b": 1, "a": 2}, "") == ballot({"a": 2, "b": 1}, "")


def test_a_wait_doubles_up_to_twenty_seconds_unless_the_endpoint_asks_for_another():
    assert [retry_wait(n, 1.0) for n in (1, 2, 3, 7, 9999)] == [0.5, 1.0, 2.0, 20.0, 20.0]
    assert retry_wait(3, 0.5, 7.0) == 7.0
    assert (is_too_long(60.0), is_too_long(60.1), is_too_long(5.0, 5.0), is_too_long(4.9, 5.0)) == (
        False,
        True,
        True,
        False,
    )


HTTP = [
    *((row, status, {}) for row, fault in FAULTS.items() for status in list(fault.statuses)[:4]),
    *((row, 400, {key: code}) for row, fault in FAULTS.items() for code in fault.codes for key in ("code", "type")),
    ("quota", 429, {"code": "insufficient_quota"}),
    ("content_filter", 500, {"code": "content_filter"}),
    ("request", 418, {"code": "teapot"}),
    ("request", 400, "no JSON"),
]


@pytest.mark.parametrize(("row", "status", "detail"), HTTP)
def test_a_status_or_a_code_is_a_row_of_the_table_and_the_error_does_what_the_row_says(row, status, detail):
    assert fault_of(status, detail) == row
    error = rejected(Deployment("m", "openai", "m"), status, detail)
    assert isinstance(error, ModelError)
    assert (error.transient, error.falls_back) == (FAULTS[row].retried, FAULTS[row].falls_back)
    assert (type(error).transient, type(error).falls_back) == (error.transient, error.falls_back)


@pytest.mark.parametrize(
    ("finish_reason", "text", "calls", "fault"),
    [
        ("refusal", "", None, "refusal"),
        ("content_filter", "", None, "content_filter"),
        ("length", "half an ans", None, "length"),
        ("stop", " \n", None, "empty"),
        ("tool_calls", "", [{}], None),
        ("stop", "an answer", None, None),
    ],
)
def test_an_answer_that_cannot_be_used_has_one_fault(finish_reason, text, calls, fault):
    assert unusable(finish_reason, text, calls) == fault
