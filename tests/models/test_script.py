"""Scripts: in order, by rule, by function; and values that fit a schema, or just do not."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from orchmagic.models.scripting.reply import Reply, completion, http_error, pieces
from orchmagic.models.scripting.script import Script
from orchmagic.models.types import ToolCall
from orchmagic.models.wire.schema_example import instance, misfit
from orchmagic.trace.events import Usage


def asked(text: str = "hello", **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def texts(script: Script, *bodies: dict[str, object]) -> list[object]:
    return [script.take(body)[0].text for body in bodies]


def message(reply: Reply, body: dict[str, object] | None = None) -> dict[str, object]:
    return completion(reply, body or asked(), 1)["choices"][0]["message"]


def test_replies_come_in_order_and_then_the_smallest_answer():
    assert texts(Script(["a", Reply("b")]), asked(), asked(), asked()) == ["a", "b", None]
    assert texts(Script("a"), asked(), asked()) == ["a", None]


def test_the_first_rule_that_is_found_answers():
    script = Script({r"^model: large$": "L", r"refund": ["once", "then"], r"^tool: .*paid": "done"})
    bodies = [
        asked("refund!"),
        asked("refund?"),
        asked("refund"),
        {**asked("refund"), "model": "large"},
        {"model": "m", "messages": [{"role": "tool", "content": "was paid"}]},
        asked("other"),
    ]
    assert texts(script, *bodies) == ["once", "then", "then", "L", "done", None]


def test_a_function_answers_from_the_body():
    assert texts(Script(lambda body: body["messages"][0]["content"].upper()), asked("a"), asked("b")) == ["A", "B"]


def test_requests_are_kept_as_they_were():
    script, body = Script(), asked()
    script.take(body)
    body["messages"].clear()
    assert script.requests == [asked()]


def test_a_wrong_reply_is_refused_when_it_is_written():
    with pytest.raises(ValueError, match=r"unknown fault 'time out': write one of .*did you mean 'timeout'"):
        Reply(fault="time out")
    with pytest.raises(ValueError, match="latency -1 is negative"):
        Reply(latency=-1)


def test_tool_calls_are_written_with_names_and_arguments():
    found = message(Reply(tool_calls=[("find", {"id": 1}), ToolCall("x", "now", "{oops")]))
    assert [(c["id"], c["function"]) for c in found["tool_calls"]] == [
        ("call_1_1", {"name": "find", "arguments": '{"id": 1}'}),
        ("x", {"name": "now", "arguments": "{oops"}),
    ]
    assert found["content"] is None


def test_tokens_are_estimated_or_given():
    def usage(reply: Reply) -> dict[str, object]:
        return completion(reply, asked("12345678"), 1)["usage"]

    assert (usage(Reply("123456789"))["prompt_tokens"], usage(Reply("123456789"))["completion_tokens"]) == (3, 3)
    own = usage(Reply("x", usage=Usage(input=7, output=8, cached=2, reasoning=1)))
    assert own["total_tokens"] == 15
    assert own["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 0}


def test_an_answer_ends_at_the_limit_of_its_tokens_like_everywhere():
    found = completion(Reply("é" * 100), asked(max_tokens=5), 1)
    assert found["choices"][0]["message"]["content"] == "é" * 10
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == 5


def test_logprobs_come_when_they_are_asked():
    def logprobs(reply: Reply, **more: object) -> object:
        return completion(reply, asked(**more), 1)["choices"][0]["logprobs"]

    assert logprobs(Reply("a b")) is None
    certain = logprobs(Reply("a b"), logprobs=True)["content"]
    assert [(t["token"], t["logprob"]) for t in certain] == [("a", 0.0), (" ", 0.0), ("b", 0.0)]
    own = logprobs(Reply("a", logprobs=[("a", -0.1)]), logprobs=True)["content"]
    assert [(t["token"], t["logprob"]) for t in own] == [("a", -0.1)]


def test_http_faults_have_a_status_and_a_wait():
    assert http_error(Reply(fault="429", retry_after=2)) == (
        429,
        {"message": "Rate limit reached", "type": "rate_limit_exceeded", "param": None, "code": "rate_limit_exceeded"},
        "2",
    )
    assert http_error(Reply(fault="timeout")) is None
    assert http_error(Reply()) is None


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    colour: Colour
    weight: Annotated[float, Field(gt=0, le=1)]


class Tree(BaseModel):
    name: Annotated[str, Field(min_length=12)]
    kind: Literal["oak", "elm"]
    leaves: Annotated[list[Leaf], Field(min_length=2)]
    parent: Tree | None
    age: Annotated[int, Field(ge=5, multiple_of=3)]
    alive: bool
    planted: Annotated[str, Field(json_schema_extra={"format": "date"})]
    notes: dict[str, str]
    pair: tuple[int, str]


ASKED = {"response_format": {"json_schema": {"schema": Tree.model_json_schema()}}}


def test_a_question_with_a_schema_gets_a_value_that_fits():
    found = Tree.model_validate_json(message(Reply(), asked(**ASKED))["content"])
    assert (found.kind, found.alive, found.age, len(found.leaves)) == ("oak", True, 6, 2)


def test_a_wrong_enum_does_not_fit_and_only_there():
    found = json.loads(message(Reply(fault="wrong_enum"), asked(**ASKED))["content"])
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(found)
    assert [e["loc"] for e in caught.value.errors()] == [("kind",)]


def test_a_wrong_enum_where_there_is_none_is_something_else_altogether():
    assert misfit({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x"}) == {
        "unexpected": "none of the choices"
    }


def test_broken_json_can_be_mended_but_not_read():
    text = message(Reply({"a": "x"}, fault="broken_json"))["content"]
    assert text == '{"a": "x",}'


@pytest.mark.parametrize(
    "kind",
    [
        str, int, float, bool, None, list[int], dict[str, int], Colour, Literal["a"], int | str, tuple[int, int],
        Annotated[int, Field(gt=3)], Annotated[int, Field(lt=0)], Annotated[float, Field(gt=0, lt=0.001)],
        Annotated[float, Field(ge=-2, lt=-1)], Annotated[int, Field(gt=4, multiple_of=5)],
        Annotated[str, Field(max_length=2)], Annotated[list[str], Field(min_length=3)],
    ],
)  # fmt: skip
def test_the_smallest_instance_fits(kind):
    adapter = TypeAdapter(kind)
    adapter.validate_json(json.dumps(instance(adapter.json_schema())))


def test_one_of_several_parts_of_a_schema_are_merged():
    schema = {
        "allOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    }
    assert instance(schema) == {"a": 1, "b": None}
    assert instance({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2, "items": True}) == [1, None]


@given(st.text())
def test_words_of_a_stream_make_the_text_again(text):
    assert "".join(pieces(text)) == text
