"""Tools for models that cannot call tools: there and back again."""

from __future__ import annotations

import json

import pytest

from orchmagic.core.portable import OBSERVED
from orchmagic.errors import EmptyReply
from orchmagic.models.types import ModelRequest, ModelResponse, Schema, ToolSpec
from orchmagic.models.wire.json_tools import decode, encode

ORDER = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
FIND = ToolSpec("find_order", "Find an order\nby its id.", ORDER)
NOW = ToolSpec("now", "The time.", {"type": "object", "properties": {}})
USER = {"role": "user", "content": "Where is A17?"}


def ask(*messages, tools=(FIND, NOW), schema=None) -> ModelRequest:
    return encode(ModelRequest("c", "m", messages or (USER,), tools=tools, schema=schema))


def test_a_request_without_tools_is_left_alone():
    plain = ModelRequest("c", "m", (USER,))
    assert encode(plain) is plain


def test_the_tools_are_described_behind_an_example_with_others():
    found = ask()
    assert found.tools == ()
    assert [m["role"] for m in found.messages] == ["system", "user"]
    text = found.messages[0]["content"]
    assert text.endswith("- find_order(order_id: string): Find an order by its id.\n- now(): The time.")
    assert '{"action": "weather", "arguments": {"city": "Oslo"}}' in text
    assert '{"action": "final_answer", "answer": "Ann needs a coat: it rains in Oslo."}' in text


def test_the_examples_final_answer_has_the_form_that_is_asked():
    shape = {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]}
    text = ask(schema=Schema("Answer", shape)).messages[0]["content"]
    assert '{"action": "final_answer", "answer": {"why": "Ann needs a coat: it rains in Oslo."}}' in text


def test_the_instruction_follows_the_cells_own_system_prompt():
    found = ask({"role": "system", "content": "Be kind."}, USER)
    assert found.messages[0]["content"].startswith("Be kind.\n\nReply with one JSON object")
    assert len(found.messages) == 2


def test_the_schema_allows_one_action_or_the_answer():
    schema = ask().schema.schema
    actions = [choice["properties"]["action"]["const"] for choice in schema["anyOf"]]
    assert actions == ["final_answer", "find_order", "now"]
    assert schema["anyOf"][1]["properties"]["arguments"] == ORDER
    assert all(choice["additionalProperties"] is False for choice in schema["anyOf"])


def test_definitions_move_to_the_root_where_references_point():
    size = {"enum": ["s", "l"]}
    asked = {"type": "object", "properties": {"size": {"$ref": "#/$defs/Size"}}, "$defs": {"Size": size}}
    found = ask(schema=Schema("Answer", asked)).schema.schema
    assert found["$defs"] == {"Size": size}
    assert found["anyOf"][0]["properties"]["answer"] == {"type": "object", "properties": asked["properties"]}


def test_two_definitions_of_one_name_do_not_mix():
    def tool(name, kind):
        own = {"type": "object", "properties": {"x": {"$ref": "#/$defs/Item"}}, "required": ["x"]}
        return ToolSpec(name, "", {**own, "$defs": {"Item": kind}})

    found = ask(tools=(tool("a", {"type": "string"}), tool("b", {"type": "integer"}))).schema.schema
    kinds = [
        found["$defs"][choice["properties"]["arguments"]["properties"]["x"]["$ref"].rpartition("/")[2]]
        for choice in found["anyOf"][1:]
    ]
    assert kinds == [{"type": "string"}, {"type": "integer"}]


def test_earlier_calls_and_their_results_are_spelled_out():
    call = {"id": "1", "type": "function", "function": {"name": "find_order", "arguments": '{"order_id": "A17"}'}}
    broken = {"id": "2", "type": "function", "function": {"name": "now", "arguments": "{oops"}}
    found = ask(
        USER,
        {"role": "assistant", "content": "Looking.", "tool_calls": [call, broken]},
        {"role": "tool", "tool_call_id": "1", "content": "shipped"},
        {"role": "tool", "tool_call_id": "?", "content": "what"},
    )
    assert [dict(m) for m in found.messages[2:]] == [
        {
            "role": "assistant",
            "content": 'Looking.\n{"action": "find_order", "arguments": {"order_id": "A17"}}\n'
            '{"action": "now", "arguments": "{oops"}',
        },
        {"role": "user", "content": OBSERVED.format(name="find_order", content="shipped")},
        {"role": "user", "content": OBSERVED.format(name="the tool", content="what")},
    ]


def test_an_action_comes_back_as_a_tool_call():
    found = decode(ModelResponse('{"action": "find_order", "arguments": {"order_id": "é"}}'))
    assert (found.text, found.finish_reason) == ("", "tool_calls")
    assert found.tool_calls[0].name == "find_order"
    assert json.loads(found.tool_calls[0].arguments) == {"order_id": "é"}


def test_the_same_reply_has_the_same_call_id_and_another_one_another():
    one, same, other = (
        decode(ModelResponse(json.dumps({"action": "f", "arguments": {"a": a}}))).tool_calls[0].id for a in (1, 1, 2)
    )
    assert one == same != other


def test_the_final_answer_comes_back_as_text_or_as_json():
    assert decode(ModelResponse('{"action": "final_answer", "answer": "Shipped."}')).text == "Shipped."
    found = decode(ModelResponse('{"action": "final_answer", "answer": {"ids": ["A17"]}}'))
    assert json.loads(found.text) == {"ids": ["A17"]}
    assert found.tool_calls == ()


def test_an_empty_final_answer_is_an_empty_reply():
    with pytest.raises(EmptyReply):
        decode(ModelResponse('{"action": "final_answer", "answer": " "}'))


@pytest.mark.parametrize(
    "text", ["prose", '{"action": ', "[1]", "[" * 100_000, "3", '{"act": "x"}', '{"action": 3}', '"x"']
)
def test_what_is_no_action_stays_text(text):
    assert decode(ModelResponse(text)) == ModelResponse(text)
