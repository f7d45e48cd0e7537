"""The rules that runs and exported modules share, by themselves."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, TypeAdapter

from orchmagic.core.portable import (
    FAULTS,
    UnfitReplyError,
    all_of,
    as_text,
    asked_wait,
    ballot,
    count_votes,
    fault_of,
    find_json,
    in_order,
    is_too_long,
    message_text,
    readable,
    retry_wait,
    unusable,
    validate_with,
    wait_seconds,
    without_thoughts,
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


GOOD_ENDS = ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "COMPLETE", "FINISH_REASON_STOP", "None"]
BAD_ENDS = {
    "length": ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", "model_context_window_exceeded",
               "token_limit", "incomplete", "MAX_LENGTH"],
    "content_filter": ["content_filter", "SAFETY", "sensitive", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
                       "guardrail_intervened", "IMAGE_SAFETY", "ERROR_TOXIC", "content_filtered"],
    "server": ["error", "network_error", "insufficient_system_resource", "abort", "cancelled", "pause_turn", "ERROR",
               "timeout", "server_error", "OTHER", "a word of tomorrow", "repetition", "unknown"],
    "malformed": ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"],
    "refusal": ["refusal"],
}  # fmt: skip


@pytest.mark.parametrize("finish_reason", GOOD_ENDS)
def test_vendors_have_many_words_for_a_good_end(finish_reason):
    assert unusable(finish_reason, "an answer", None, offered=False) is None


@pytest.mark.parametrize(("fault", "finish_reason"), [(row, word) for row, words in BAD_ENDS.items() for word in words])
def test_a_word_for_another_end_makes_the_answer_unusable_whatever_its_text(fault, finish_reason):
    assert unusable(finish_reason, '{"items": ["milk", "the thi', None, offered=False) == fault
    assert unusable(finish_reason, "", [{}], offered=True) == fault


@pytest.mark.parametrize(
    ("finish_reason", "text", "calls", "offered", "fault"),
    [
        ("stop", " \n", None, False, "empty"),
        ("stop", " \n", None, True, "empty"),
        ("stop", "an answer", None, True, None),
        ("tool_calls", "", [{}], True, None),
        ("stop", "", [{}], True, None),
        ("stop", "I look it up.", [{}], True, None),
        # tools that nobody offered
        ("tool_calls", "", [{}], False, "malformed"),
        ("stop", "I look it up.", [{}], False, "malformed"),
        # a call that was announced and is not there
        ("tool_calls", "", None, True, "malformed"),
        ("tool_calls", "I look it up.", [], True, "malformed"),
        ("function_call", "I look it up.", [], True, "malformed"),
        ("tool_use", "", [], False, "malformed"),
        ("tool_calls", "an answer", [], False, None),
    ],
)
def test_tool_calls_must_be_offered_and_there(finish_reason, text, calls, offered, fault):
    assert unusable(finish_reason, text, calls, offered=offered) == fault


DRAFT, FINAL = '{"severity": "low"}', '{"severity": "high"}'
LAST = [
    f"<think>{DRAFT}? No.</think>{FINAL}",
    f"<THINKING>\n{DRAFT}\n</THINKING>\n\n{FINAL}",
    f"<think>a <think>{DRAFT}</think> b {DRAFT}</think> {FINAL}",
    f"<think>a <think>{DRAFT}</think>{FINAL}",
    f"{DRAFT}? No.\n</think>\n{FINAL}",
    f"[THINK]{DRAFT}[/THINK]{FINAL}",
    f"<|channel>thought {DRAFT}<channel|>{FINAL}",
    f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{FINAL}",
    f"◁think▷{DRAFT}◁/think▷{FINAL}",
    f"<seed:think>{DRAFT}</seed:think>{FINAL}",
    f"<|START_THINKING|>{DRAFT}<|END_THINKING|>{FINAL}",
    f"<think>a bracket {{ and {DRAFT}</think>Here: {FINAL}",
    f'{{"severity": "lo\n</think>\nSo: {FINAL}',
    f"My first idea was {DRAFT}, but: {FINAL}",
    f"Draft\n```json\n{DRAFT}\n```\nFinal\n```json\n{FINAL}\n```",
    f"Draft\n```json\n{DRAFT}\n```\nFinal: {FINAL}",
    f"{DRAFT}\n{FINAL}",
    f"{{'severity': 'low'}} became {FINAL}",
    f"Of {{low, high}} I take {FINAL}",
    f'{FINAL} See [1], ["a"] and {{more}}.',
    f"{FINAL} <think>or {DRAFT}?",
    f"```JSON\n{FINAL}\n```\nBye {{}}",
]


@pytest.mark.parametrize("reply", LAST)
def test_the_last_complete_json_outside_thinking_marks_is_the_answer(reply):
    assert find_json(reply)[0] == {"severity": "high"}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (f"<think>{DRAFT}", "holds no JSON"),
        (f"<think>{DRAFT}</think> I cannot say.", "holds no JSON"),
        ('{"items": ["milk", "bread", "the thi', "cut off"),
        ('{"items": [{"name": "milk"}, {"name": "br', "cut off"),
        ('[{"name": "milk"}, {"name": "br', "cut off"),
        ('{"price": 12', "cut off"),
        (f'{DRAFT} Final: {{"severity": "hi', "cut off"),
        (f"{DRAFT} Final: {{'severity': 'high'}}", "no valid JSON"),
        (f"{DRAFT} Final: {{severity: high}}", "no valid JSON"),
    ],
)
def test_a_draft_or_half_a_reply_is_not_taken_for_the_answer(reply, words):
    with pytest.raises(UnfitReplyError, match=words):
        find_json(reply)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("<think>\nSay hello.\n</think>\n\nHello!", "Hello!"),
        ("Say hello.\n</think>\n\nHello!", "Hello!"),
        ("Hello <think>what else?</think>there", "Hello there"),
        ("<think>a<think>b</think>c</think>Hello!", "Hello!"),
        ("[THINK]Hm.[/THINK]Hello!", "Hello!"),
        ("<think>Close with `</think>`, then go on.</think>Hello!", "Hello!"),
        ("<think>Should I say hello?", ""),
        ("Hello!\n<think>Should I say more?", "Hello!"),
        # a text about the marks
        ("A `<think>` block ends with `</think>`.", "A `<think>` block ends with `</think>`."),
        ("```\n<think>x</think>\n```", "```\n<think>x</think>\n```"),
        ("Models write <think> first.", "Models write <think> first."),
        ("It ends with </think>.", "It ends with </think>."),
        ('{"quote": "<think>x</think>"}', '{"quote": "<think>x</think>"}'),
        ("  untouched \n", "  untouched \n"),
    ],
)
def test_a_thinking_block_is_no_part_of_the_text(reply, text):
    assert without_thoughts(reply) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], "a"),
        ([{"type": "reasoning", "text": "hm"}, {"text": "hm", "thought": True}, {"type": "text", "text": "a"}], "a"),
        (["a", None, {"type": "image_url"}], "a"),
    ],
)
def test_parts_that_hold_thoughts_are_no_text(content, text):
    assert message_text({"content": content, "reasoning_content": "hm"}) == text


@pytest.mark.parametrize(
    "reply", ["{" * 40_000, "[" * 40_000, '{"a":' * 20_000, "{'a':" * 20_000, "<think>" * 9_000, "```\n" * 20_000]
)
def test_a_degenerate_reply_is_refused_soon(reply):
    began = time.process_time()
    with pytest.raises(UnfitReplyError):
        find_json(reply)
    assert time.process_time() - began < 3


class Tags(BaseModel):
    tags: set[str]
    rows: list[frozenset[int]] = []


@dataclass
class Bag:
    names: frozenset[str]


WORDS = ["delta", "alpha", "echo", "bravo", "charlie"]
SORTED = '["alpha","bravo","charlie","delta","echo"]'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (set(WORDS), SORTED),
        (frozenset(WORDS), SORTED),
        ([set(WORDS)], f"[{SORTED}]"),
        ({"a": {"b": (1, set(WORDS))}}, f'{{"a":{{"b":[1,{SORTED}]}}}}'),
        (Tags(tags=set(WORDS)), f'{{"tags":{SORTED},"rows":[]}}'),
        ([Bag(frozenset(WORDS))], f'[{{"names":{SORTED}}}]'),
        ({frozenset(WORDS)}, f"[{SORTED}]"),
        (Tags(tags=set(), rows=[frozenset({3, 1, 2})]), '{"tags":[],"rows":[[1,2,3]]}'),
    ],
)
def test_a_set_has_the_same_text_in_every_process_wherever_it_is(value, text):
    assert as_text(value) == text


def test_what_holds_no_set_is_not_copied():
    for value in ({"a": [1, (2, "x")]}, [Six(a=1, b=2, c=3, d=4, e=5, f=6)], "x", None):
        assert in_order(value) is value


def some():
    yield "a"
    yield "b"


def endless():
    yield from itertools.count()


async def some_later():
    yield "a"
    yield "b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "(done, no result)"),
        ("", "(an empty text)"),
        (" \n", "(an empty text)"),
        ([], "[]"),
        (0, "0"),
        (False, "False"),
        ("x", "x"),
        (some, '["a","b"]'),
        (some_later, '["a","b"]'),
    ],
)
async def test_a_model_is_told_something_whatever_its_tool_returns(value, text):
    assert readable(await all_of(value() if callable(value) else value)) == text


async def test_a_generator_without_end_has_an_end():
    assert len(await all_of(endless())) == 10_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "3000"}, 3.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({}, None),
    ],
)
def test_the_wait_that_an_endpoint_asks_for(headers, seconds):
    assert wait_seconds(asked_wait(headers)) == seconds


@pytest.mark.parametrize(
    ("row", "status", "message"),
    [
        ("quota", 400, "Your credit balance is too low to access the Anthropic API."),
        ("quota", 403, "Insufficient account balance"),
        ("quota", 429, "You exceeded your current quota, please check your plan"),
        ("context", 400, "This model's maximum context length is 4096 tokens"),
        ("context", 400, "prompt is too long: 210000 tokens > 200000 maximum"),
        ("context", 400, "the request exceeds the available context size"),
        ("context", 413, "Payload too large"),
        ("no_model", 404, "model `m` not found"),
        ("request", 400, "temperature must be below 2"),
        ("server", 500, "context length"),
    ],
)
@pytest.mark.parametrize("as_text_alone", [False, True])
def test_the_words_of_a_rejection_say_what_helps(row, status, message, as_text_alone):
    assert fault_of(status, message if as_text_alone else {"message": message}) == row
