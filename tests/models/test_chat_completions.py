"""The body that is sent, the answer that is read, and when an answer is none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchmagic.core.tokens import IMAGE
from orchmagic.errors import EmptyReply, RefusedReply, TruncatedReply
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, Schema, TokenLogprob, ToolCall, ToolSpec
from orchmagic.models.wire import chat_completions
from orchmagic.trace.events import Usage

ASK = ({"role": "user", "content": "hi"},)
PLAIN = Deployment("a", "openai", "m")
SENT = {"model": "m", "messages": [{"role": "user", "content": "hi there"}]}


def test_a_plain_question_has_three_keys():
    assert chat_completions.body(ModelRequest("c", "a", ASK), PLAIN) == {
        "model": "m",
        "messages": list(ASK),
        "max_tokens": 1024,
    }


def test_everything_that_can_be_asked():
    request = ModelRequest(
        "c",
        "a",
        ASK,
        parameters={"temperature": 0.5},
        max_tokens=7,
        schema=Schema("Answer", {"type": "object"}, strict=False),
        tools=(ToolSpec("find", "Finds.", {"type": "object"}),),
        logprobs=True,
        stream=True,
        vote=3,
        fallback=("b",),
    )
    to = Deployment(
        "a",
        "openai",
        "m",
        logprobs=True,
        max_tokens_field="max_completion_tokens",
        parameters={"temperature": 0, "cache_prompt": False},
    )
    body = chat_completions.body(request, to)
    assert body == {
        "model": "m",
        "messages": list(ASK),
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "cache_prompt": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Answer", "schema": {"type": "object"}, "strict": False},
        },
        "tools": [
            {
                "type": "function",
                "function": {"name": "find", "description": "Finds.", "parameters": {"type": "object"}},
            }
        ],
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert list(body)[:3] == ["model", "messages", "max_completion_tokens"]


def test_logprobs_are_not_asked_where_there_are_none():
    assert "logprobs" not in chat_completions.body(ModelRequest("c", "a", ASK, logprobs=True), PLAIN)


def test_an_answer_is_read_whole():
    answer = {
        "model": "m-2025",
        "choices": [
            {
                "finish_reason": "tool_calls",
                "message": {
                    "content": None,
                    "tool_calls": [{"id": "1", "function": {"name": "find", "arguments": '{"a": 1}'}}],
                },
                "logprobs": {"content": [{"token": "x", "logprob": -0.5}]},
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    assert chat_completions.response(answer, SENT) == ModelResponse(
        "",
        (ToolCall("1", "find", '{"a": 1}'),),
        "tool_calls",
        Usage(input=9, output=4, cached=3, reasoning=2),
        model="m-2025",
        logprobs=(TokenLogprob("x", -0.5),),
    )


def test_what_other_servers_leave_out_or_write_otherwise_is_read_too():
    call = {"function": {"name": "find", "arguments": {"a": 1}}}
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    found = chat_completions.response({"choices": [{"message": {"content": parts, "tool_calls": [call]}}]}, SENT)
    assert (found.text, found.model, found.finish_reason) == ("Hello", "m", "stop")
    assert found.tool_calls == (ToolCall("call_0", "find", '{"a": 1}'),)


def test_usage_that_is_not_sent_is_estimated_and_never_nothing():
    found = chat_completions.response({"choices": [{"message": {"content": "123456"}}]}, SENT)
    assert found.usage == Usage(input=2, output=2, estimated=True)


def test_an_image_counts_where_the_endpoint_sends_no_usage():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi there"}, picture, picture]}]
    found = chat_completions.response({"choices": [{"message": {"content": "x"}}]}, {**SENT, "messages": messages})
    assert found.usage == Usage(input=2 + 2 * IMAGE, output=1, estimated=True)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (ModelResponse("", model="m"), EmptyReply, r"m gave an empty reply \(finish_reason 'stop'\)"),
        (ModelResponse(" \n"), EmptyReply, "the model gave an empty reply"),
        (ModelResponse("Once", finish_reason="length"), TruncatedReply, "cut off after 4 tokens: raise max_tokens"),
        (ModelResponse("", finish_reason="length"), TruncatedReply, "cut off"),
        (
            ModelResponse("No.\n\x1b[31mReally.", finish_reason=chat_completions.REFUSAL),
            RefusedReply,
            r"refused: No\. \[31mReally",
        ),
        (ModelResponse("", finish_reason="content_filter"), RefusedReply, "a content filter stopped"),
    ],
)
def test_an_answer_that_cannot_be_used_says_what_it_spent(answer, error, said):
    with pytest.raises(error, match=said) as caught:
        chat_completions.usable(replace(answer, usage=Usage(input=3, output=4), cost=0.25, provider="p"), offered=False)
    assert (caught.value.usage, caught.value.cost) == (Usage(input=3, output=4), 0.25)
    assert caught.value.provider == "p"


def test_text_or_tool_calls_are_an_answer():
    for answer in (ModelResponse("x"), ModelResponse("", (ToolCall("1", "f", "{}"),))):
        assert chat_completions.usable(answer, offered=True) is answer


def test_a_refusal_in_the_message_becomes_the_finish_reason():
    found = chat_completions.response({"choices": [{"finish_reason": "stop", "message": {"refusal": "no"}}]}, SENT)
    assert (found.finish_reason, found.text) == (chat_completions.REFUSAL, "no")


def test_chunks_are_put_together_in_the_order_of_their_index():
    parts = chat_completions.Assembly()
    deltas = [
        {"content": "He"},
        {"content": "llo"},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
    ]
    assert [parts.add({"choices": [{"delta": d}]}) for d in deltas] == ["He", "llo", "", "", ""]
    assert not parts.ended
    logprobs = {"content": [{"token": "Hello", "logprob": 0.0}]}
    parts.add({"model": "m", "choices": [{"delta": {}, "finish_reason": "stop", "logprobs": logprobs}]})
    parts.add({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert parts.ended
    found = chat_completions.response(parts.whole(), SENT)
    assert (found.text, found.usage) == ("Hello", Usage(input=1, output=2))
    assert found.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"))
    assert found.logprobs == (TokenLogprob("Hello", 0.0),)


@pytest.mark.parametrize(("way", "form"), [("json", {"response_format": {"type": "json_object"}}), ("none", {})])
def test_where_no_schema_is_enforced_it_is_told(way, form):
    request = ModelRequest("a#1.1", "m", ASK, schema=Schema("Answer", {"type": "object", "title": "é"}))
    body = chat_completions.body(request, Deployment("m", "openai", "m", schemas=way))
    told = {
        "role": "system",
        "content": 'Answer with JSON alone, of this JSON schema: {"type": "object", "title": "é"}',
    }
    assert body == {"model": "m", "max_tokens": 1024, "messages": [told, *ASK], **form}
    assert request.messages == ASK


def test_streamed_content_may_be_a_list_of_parts():
    parts = chat_completions.Assembly()
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    deltas = [[thought], [{"type": "text", "text": "bl"}], "ue", None]
    texts = [parts.add({"choices": [{"delta": {"content": content}}]}) for content in deltas]
    assert texts == ["", "bl", "ue", ""]
    assert chat_completions.response(parts.whole(), {}).text == "blue"


def piece(id_: str | None = None, name: str | None = None, arguments: object = None, **more: object) -> dict:
    function = {"name": name, "arguments": arguments}
    return {"id": id_, "function": {k: v for k, v in function.items() if v is not None}, **more}


ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'
BOTH = [("a", "look", ROME), ("b", "look", OSLO)]
STREAMS = {
    "an index for each": ([piece("a", "look", ROME, index=0), piece("b", "look", OSLO, index=1)], BOTH),
    "no index": ([piece("a", "look", ROME), piece("b", "look", OSLO)], BOTH),
    "index 0 for each": ([piece("a", "look", ROME, index=0), piece("b", "look", OSLO, index=0)], BOTH),
    "no index, in pieces": (
        [piece("a", "look", '{"city"'), piece(None, None, ': "Rome"}'), piece("b", "look", OSLO)],
        BOTH,
    ),
    "id and name in every piece": (
        [
            piece("a", "look", '{"city"', index=0),
            piece("a", "look", ': "Rome"}', index=0),
            piece("b", "look", OSLO, index=1),
        ],
        BOTH,
    ),
    "pieces that alternate": (
        [
            piece("a", "look", '{"city"', index=0),
            piece("b", "look", '{"city": ', index=1),
            piece(None, None, ': "Rome"}', index=0),
            piece(None, None, '"Oslo"}', index=1),
        ],
        BOTH,
    ),
    "no ids": (
        [piece(None, "look", ROME), piece(None, "look", OSLO)],
        [("call_0", *BOTH[0][1:]), ("call_1", *BOTH[1][1:])],
    ),
    "an object": ([piece("a", "look", {"city": "Rome"}, index=0)], BOTH[:1]),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_tool_calls_of_a_stream_are_told_apart(stream):
    pieces, calls = STREAMS[stream]
    parts = chat_completions.Assembly()
    for one in pieces:
        parts.add({"choices": [{"delta": {"tool_calls": [one]}}]})
    found = chat_completions.response(parts.whole(), SENT).tool_calls
    assert [(c.id, c.name, c.arguments) for c in found] == calls


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_endpoint_adds_to_a_tool_call_is_kept(stream):
    more = {"extra_content": {"google": {"thought_signature": "S1"}}}
    call = piece("a", "look", ROME, index=0, **more)
    parts = chat_completions.Assembly()
    parts.add({"choices": [{"delta": {"tool_calls": [call]}}]})
    answer = parts.whole() if stream else {"choices": [{"message": {"tool_calls": [call]}}]}
    assert chat_completions.response(answer, SENT).tool_calls == (ToolCall("a", "look", ROME, more),)


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        ([{"content": "x"}], "stop"),
        ([{"tool_calls": [piece("a", "look", "{}")]}], "tool_calls"),
        ([{}], None),
        ([], None),
    ],
)
def test_a_stream_that_the_server_ended_is_whole_without_a_finish_reason(deltas, reason):
    parts = chat_completions.Assembly()
    for delta in deltas:
        parts.add({"choices": [{"delta": delta, "finish_reason": ""}]})
    assert not parts.ended
    parts.done()
    assert parts.ended is (reason is not None)
    assert parts.whole()["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("chunk", "message", "code"),
    [
        ({"error": {"message": "no", "code": 400}}, "no", 400),
        ({"error": "no"}, "no", None),
        ({"error": "no", "code": 429}, "no", 429),
        ({"object": "error", "message": "no", "code": 400}, "no", 400),
        ({"code": 400, "details": "no"}, "no", 400),
        ({"detail": "no"}, "no", None),
    ],
)
def test_an_error_is_read_in_whatever_form_it_comes(chunk, message, code):
    found = chat_completions.error_in(chunk)
    assert (found["message"], found.get("code")) == (message, code)


@pytest.mark.parametrize(
    "chunk", [{}, {"choices": []}, {"error": None, "choices": []}, {"choices": [], "message": "x"}]
)
def test_what_is_no_error_is_none(chunk):
    assert chat_completions.error_in(chunk) is None


def system(content: object) -> dict:
    return {"role": "system", "content": content}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([system("a"), system("b"), *ASK], [system("a\n\nb"), *ASK]),
        ([system("a"), *ASK], [system("a"), *ASK]),
        ([*ASK, system("a")], [*ASK, system("a")]),
        (
            [system("a"), system([{"type": "text", "text": "b"}])],
            [system([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
        ),
    ],
)
def test_system_messages_at_the_head_are_one(given, sent):
    request = ModelRequest("a#1.1", "m", tuple(given))
    assert chat_completions.body(request, Deployment("m", "openai", "m"))["messages"] == sent


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"city": "Ro', {"unreadable": '{"city": "Ro'}),
        ('"Rome"', {"unreadable": '"Rome"'}),
        ("[" * 100_000, {"unreadable": "[" * 100_000}),
    ],
)
def test_arguments_that_are_no_object_are_sent_back_in_one(written, sent):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": written}}
    request = ModelRequest("a#1.1", "m", ({"role": "assistant", "content": None, "tool_calls": [call]},))
    found = chat_completions.body(request, Deployment("m", "openai", "m"))["messages"][0]["tool_calls"][0]
    assert json.loads(found["function"]["arguments"]) == sent


@pytest.mark.parametrize("takes", [True, False])
def test_an_endpoint_that_refuses_a_schema_beside_tools_is_told_the_schema(takes):
    find = ToolSpec("find", "Find it.", {"type": "object", "properties": {}})
    request = ModelRequest("a#1.1", "m", ASK, schema=Schema("Answer", {"type": "object"}), tools=(find,))
    with_tools = chat_completions.body(request, Deployment("m", "openai", "m", schemas_with_tools=takes))
    alone = chat_completions.body(replace(request, tools=()), Deployment("m", "openai", "m", schemas_with_tools=takes))
    assert ("response_format" in with_tools) is takes
    assert (with_tools["messages"][0]["role"] == "system") is not takes
    assert "response_format" in alone
