"""The notebook's graph and the exported module send the same requests and return the same values."""

from __future__ import annotations

import asyncio

import pytest
from exported_cells import (
    ASK,
    BILL,
    CODE,
    FALLBACK,
    GOTO,
    HELPDESK,
    MORE,
    NAMES,
    ODD,
    ORDERS,
    PICK,
    PICKED,
    RICH,
    RULES,
    TOOLS,
    TRIAGE,
    UNSURE,
    WORDS,
)
from exporting import Both, Case, ran

from orchmagic.models.scripting.reply import Reply

pytestmark = pytest.mark.slow


@pytest.fixture
def both(tmp_path):
    return Both(tmp_path)


HIGH = {"product": "disk", "severity": "high", "quote": "my disk"}
TICKET = "my disk is full"


async def test_the_chain_example(both):
    asked, output, _ = await both.compare(Case(TRIAGE, [HIGH, "Sorry."], ticket=TICKET))
    assert (len(asked), output) == (2, "Sorry.")


async def test_a_step_whose_condition_is_false_is_skipped(both):
    asked, output, _ = await both.compare(Case(TRIAGE, [{**HIGH, "severity": "low"}], ticket=TICKET))
    assert (len(asked), output["severity"]) == (1, "low")


async def test_a_failed_gate_sends_back_with_what_was_said_and_checked(both):
    wrong = {**HIGH, "quote": "my cat"}
    asked, output, _ = await both.compare(Case(TRIAGE, [wrong, wrong, HIGH, "Sorry."], ticket=TICKET))
    assert len(asked) == 4
    assert output == "Sorry."
    assert "did not pass this check: extract.quote in ticket" in asked[1]["messages"][-1]["content"]


async def test_a_gate_that_never_passes_fails_the_run(both):
    wrong = {**HIGH, "quote": "my cat"}
    asked, _, status = await both.compare(Case(TRIAGE, [wrong] * 5, ticket=TICKET))
    assert (len(asked), status) == (3, "failed")


@pytest.mark.parametrize(
    "bad",
    [
        "no JSON here",
        {"severity": "high"},
        {**HIGH, "severity": "lo"},
        {**HIGH, "more": 1},
        "[1, 2]",
        {"x": 1},
        '"text"',
    ],
)
async def test_a_reply_that_does_not_fit_is_asked_again_with_the_error(both, bad):
    asked, output, _ = await both.compare(Case(TRIAGE, [bad, HIGH, "Sorry."], ticket=TICKET))
    assert (len(asked), output) == (3, "Sorry.")


async def test_replies_that_never_fit_fail_the_run(both):
    asked, _, status = await both.compare(Case(TRIAGE, ["nothing"] * 4, ticket=TICKET))
    assert (len(asked), status) == (3, "failed")


async def test_code_steps_classes_enums_values_and_logic(both):
    ticket = {"product": "disk", "severity": "high", "tags": ["a", "b"]}
    replies = [ticket, {"value": "high"}, {"title": "T", "pages": 3}, {"value": ["x", "y"]}, {"value": 3}, "bye"]
    asked, output, _ = await both.compare(Case(RICH, replies, code=CODE, question="my disk"))
    assert (len(asked), output) == (6, "bye")
    assert asked[0]["messages"][0]["content"] == 'Words: [{"title":"full"},{"title":"broken"}], first full'


async def test_a_gate_can_stop_the_run_early(both):
    asked, output, status = await both.compare(Case(RICH, [], code=CODE, question="my printer"))
    assert (asked, status) == ([], "done")
    assert output == "MY PRINTER"


async def test_goto_runs_earlier_steps_again(both):
    replies = ["d1", {"ok": False, "why": "short"}, "d2", {"ok": True, "why": ""}, "done"]
    asked, output, _ = await both.compare(Case(GOTO, replies, topic="bees"))
    assert (len(asked), output) == (5, "done")
    assert asked[2]["messages"][0]["content"] == "Draft about bees, better than d1: short"


async def test_goto_ends_at_its_limit_with_what_there_is(both):
    bad = {"ok": False, "why": "no"}
    asked, output, status = await both.compare(Case(GOTO, ["d", bad] * 9, topic="bees"))
    assert (len(asked), output, status) == (6, bad, "capped")


async def test_a_gate_can_ask_a_person(both):
    case = Case(ASK, [{"sure": False, "topic": "it"}, "ok"], answers=("the printer",), question="fix it")
    asked, output, _ = await both.compare(case)
    assert output == "ok"
    assert asked[1]["messages"][0]["content"] == "Answer fix it the printer"


async def test_who_is_sure_asks_nobody(both):
    asked, _, _ = await both.compare(Case(ASK, [{"sure": True, "topic": "it"}, "ok"], question="fix it"))
    assert asked[1]["messages"][0]["content"] == "Answer fix it "


@pytest.mark.parametrize(
    "fault", ["429", "500", "402", "quota", "empty", "refusal", "truncated", "content_filter", "408"]
)
async def test_a_model_that_fails_yields_to_its_fallback(both, fault):
    replies = [Reply(fault=fault), "one", Reply(fault=fault), Reply(fault=fault), "two"]
    asked, output, _ = await both.compare(Case(FALLBACK, replies, topic="x").served(large={}, small={}, tiny={}))
    assert output == "two"
    models = [body["model"] for body in asked]
    assert models == ["default-model", "large-model", "tiny-model", "small-model", "large-model"]


@pytest.mark.parametrize("fault", ["400", "401", "422"])
async def test_a_wrong_request_does_not_fall_back(both, fault):
    case = Case(FALLBACK, [Reply(fault=fault), "one"], topic="x").served(large={}, small={}, tiny={})
    asked, _, status = await both.compare(case)
    assert (len(asked), status) == (1, "failed")


async def test_models_may_differ_in_endpoint_parameters_and_limits(both):
    large = {"parameters": {"seed": 3, "top_k": 5}, "max_tokens_field": "max_completion_tokens"}
    replies = ["one", Reply(fault="500"), Reply(fault="500"), "two"]
    case = Case(FALLBACK, replies, topic="x").served(large=large, small={"parameters": {"temperature": 0}}, tiny={})
    asked, _, _ = await both.compare(case)
    assert (asked[3]["top_k"], asked[3]["seed"], asked[3]["max_completion_tokens"]) == (5, 3, 1024)
    assert asked[2]["temperature"] == 0


LOGPROBS = {"logprobs": True}


@pytest.mark.parametrize("models", [{"default": {}}, {"default": LOGPROBS}])
async def test_the_route_example(both, models):
    label = {"label": "billing"} if models["default"] else {"label": "billing", "confidence": 0.8}
    asked, output, _ = await both.compare(Case(HELPDESK, [label, "Refunded."], question="my bill").served(**models))
    assert (len(asked), output) == (2, "Refunded.")


async def test_a_handler_can_be_a_person(both):
    label = {"label": "human", "confidence": 0.9}
    asked, output, _ = await both.compare(Case(HELPDESK, [label], answers=("I call you.",), question="lawyer"))
    assert (len(asked), output) == (1, "I call you.")


@pytest.mark.parametrize("bad", ["no idea", {"label": "weather", "confidence": 1}])
async def test_an_unreadable_label_goes_to_otherwise(both, bad):
    asked, output, _ = await both.compare(Case(HELPDESK, [bad, bad], answers=("hi",), question="?"))
    assert (len(asked), output) == (2, "hi")


@pytest.mark.parametrize(("sure", "who"), [(-0.1, "Refunded."), (-2.0, "hi")])
async def test_log_probabilities_decide_who_is_sure(both, sure, who):
    tokens = [('{"label": "', 0.0), ("bil", sure / 2), ("ling", sure / 2), ('"}', 0.0)]
    first = Reply('{"label": "billing"}', logprobs=tokens)
    case = Case(UNSURE, [first, "Refunded."], answers=() if sure > -1 else ("hi",), question="bill")
    _, output, _ = await both.compare(case.served(default=LOGPROBS))
    assert output == who


@pytest.mark.parametrize(("sure", "who"), [(0.9, "Refunded."), (0.2, "hi")])
async def test_a_reported_confidence_decides_who_is_sure(both, sure, who):
    first = {"label": "billing", "confidence": sure}
    case = Case(UNSURE, [first, "Refunded."], answers=() if sure > 0.5 else ("hi",), question="bill")
    _, output, _ = await both.compare(case)
    assert output == who


async def test_a_route_by_rules_asks_no_router(both):
    for question, who in (("My BILL", "Billing"), ("a crash", "Technical"), ("hello", "Other")):
        asked, _, _ = await both.compare(Case(RULES, ["ok"], question=question))
        assert [b["messages"][0]["content"].split()[0] for b in asked] == [who]


async def test_a_route_by_code(both):
    asked, _, _ = await both.compare(Case(PICKED, ["ok"], code=PICK, question="abc"))
    assert asked[0]["messages"][0]["content"] == "B abc"


DONE = {"answer": "shipped", "order_ids": ["A1"]}


async def test_the_react_example(both):
    replies = [Reply(tool_calls=[("find_order", {"order_id": "A1"})]), DONE]
    asked, output, _ = await both.compare(Case(ORDERS, replies, code=TOOLS, question="where is A1?"))
    assert (len(asked), output) == (2, DONE)
    assert asked[1]["messages"][-1]["content"] == "shipped"


async def test_tools_side_by_side_bad_arguments_and_exceptions(both):
    calls = [
        ("find_order", {"order_id": "A1", "part": "items"}),
        ("find_order", {"order_id": "Z9"}),
        ("find_order", {"id": "A1"}),
        ("find_order", "not json"),
        ("refund", {"order_id": "A1", "cents": 500}),
        ("refund", {"order_id": "A1", "cents": 5, "why": "broken"}),
        ("no_words", {"x": "1"}),
        ("no_words", {"x": "one"}),
        ("delete_all", {}),
    ]
    replies = [Reply("Let me see.", tool_calls=calls), "not the form", DONE]
    asked, output, _ = await both.compare(Case(MORE, replies, code=TOOLS, question="A1?"))
    assert (len(asked), output) == (3, DONE)
    told = [m["content"] for m in asked[1]["messages"] if m["role"] == "tool"]
    assert told[0] == '["disk"]'
    assert told[4] == "Error: RuntimeError: too much"
    assert told[5] == "refunded 5 of A1: broken"


async def test_an_agent_that_never_answers_ends_at_its_cap(both):
    call = Reply("Hm.", tool_calls=[("find_order", {"order_id": "A1"})])
    case = Case(ORDERS.replace("--max-iterations 8", "--max-iterations 3"), [call] * 9, code=TOOLS, question="A1?")
    asked, output, status = await both.compare(case)
    assert (len(asked), output, status) == (3, "Hm.", "capped")


async def test_an_agent_may_answer_in_words(both):
    replies = [Reply(tool_calls=[("find_order", {"order_id": "A1"})]), "It is shipped."]
    _, output, _ = await both.compare(Case(WORDS, replies, code=TOOLS, question="A1?"))
    assert output == "It is shipped."


JSON = {"default": {"tools": "json", "parameters": {"temperature": 0, "cache_prompt": False}}}


@pytest.mark.parametrize("cell", [MORE, WORDS])
async def test_tools_as_json_actions(both, cell):
    final = DONE if "returns" in cell else "shipped"
    replies = [
        {"action": "find_order", "arguments": {"order_id": "A1"}},
        {"action": "find_order", "arguments": {"id": "A1"}},
        {"action": "final_answer", "answer": final},
    ]
    asked, output, _ = await both.compare(Case(cell, replies, code=TOOLS, question="A1?").served(**JSON))
    assert (len(asked), output) == (3, final)


async def test_an_answer_that_is_no_action_is_read_as_it_is(both):
    case = Case(MORE, ["what?", {"action": "final_answer", "answer": DONE}], code=TOOLS, question="A1?")
    asked, output, _ = await both.compare(case.served(**JSON))
    assert (len(asked), output) == (2, DONE)


async def test_a_fallback_may_take_tools_in_another_form(both):
    replies = [
        Reply(tool_calls=[("find_order", {"order_id": "A1"})]),
        Reply(fault="500"),
        {"action": "final_answer", "answer": DONE},
    ]
    case = Case(
        ORDERS.replace("%%react orders", "%%react orders --fallback small"), replies, code=TOOLS, question="A1?"
    )
    asked, output, _ = await both.compare(case.served(small={"tools": "json"}))
    assert (len(asked), output) == (3, DONE)


FALLS = ORDERS.replace("%%react orders", "%%react orders --fallback small")
APART = {"schemas_with_tools": False}


@pytest.mark.parametrize("models", [{"default": APART}, {"default": {}, "small": APART}], ids=["all", "the fallback"])
async def test_a_schema_beside_tools_is_told_in_words_where_the_endpoint_refuses_both(both, models):
    replies = [Reply(tool_calls=[("find_order", {"order_id": "A1"})]), Reply(fault="500"), DONE]
    cell, replies = (ORDERS, [replies[0], DONE]) if len(models) == 1 else (FALLS, replies)
    asked, output, _ = await both.compare(Case(cell, replies, code=TOOLS, question="A1?").served(**models))
    assert output == DONE
    assert ["response_format" in body for body in asked] == (
        [False, False] if len(models) == 1 else [True, True, False]
    )
    assert asked[-1]["messages"][0]["content"].startswith("Answer with JSON alone, of this JSON schema: ")


STOPS = "def first(text):\n    return next(c for c in text if c == 'z')\n"


@pytest.mark.parametrize(
    "cell",
    [
        "%%chain t\nx = first(topic)\na\n    {{ x }}",
        "%%chain t\nx = first(topic) + '!'\na\n    {{ x }}",
        "%%chain t\na\n    Say {{ topic }}\ngate first(a) == 'z' else stop 'no'",
    ],
    ids=["a step", "an expression", "a gate"],
)
async def test_a_function_that_raises_stop_iteration_ends_the_step_and_hangs_nothing(both, cell):
    async with asyncio.timeout(30):
        case = Case(cell, ["fine"] * 3, code=STOPS, topic="bees")
        space = ran(STOPS, "<ipython-input-9001-cell>")
        _, _, in_notebook = both.in_notebook(case, dict(space))
        _, _, in_module = await both.as_module(case, dict(space))
    assert in_notebook == "failed"
    assert "StopIteration: next() found nothing" in in_module


async def test_a_tool_that_raises_stop_iteration_is_told_to_its_model(both):
    code = TOOLS + '\n\ndef lookup(name: str) -> str:\n    """Look up."""\n    return next(n for n in () if n)\n'
    cell = WORDS.replace("--tools ", "--tools lookup,")
    case = Case(cell, [Reply(tool_calls=[("lookup", {"name": "a"})]), "done"], code=code, question="A1?")
    async with asyncio.timeout(30):
        asked, output, _ = await both.as_module(case, ran(code, "<ipython-input-9002-cell>"))
    assert output == "done"
    assert "StopIteration: next() found nothing" in asked[1]["messages"][-1]["content"]


async def test_constants_of_the_notebook_and_odd_names(both):
    replies = [{"items": ["disk"], "state": None}, "ok"]
    case = Case(ODD, replies, code=NAMES, input="in", Big=[1, 2.5, True, None])
    asked, output, _ = await both.compare(case)
    assert output == "ok"
    assert asked[0]["messages"][0]["content"].startswith('in1 in [1,2.5,true,null] {"a": ["disk"]}')


async def test_a_module_says_that_its_model_failed_for_good(both):
    case = Case(FALLBACK, [Reply(fault="500")] * 4, topic="x").served(large={}, small={}, tiny={})
    asked, _, status = await both.compare(case)
    assert (len(asked), status) == (2, "failed")


JSON_REPLY = '{"product": "disk", "severity": "high", "quote": "my disk"}'


@pytest.mark.parametrize(
    "reply",
    [
        f"```json\n{JSON_REPLY}\n```",
        f"Here it is:\n```\n{JSON_REPLY}\n```\nAnything else?",
        f"The answer is {JSON_REPLY}, I think.",
    ],
)
async def test_json_in_a_fence_or_amid_prose_costs_one_request(both, reply):
    asked, output, _ = await both.compare(Case(TRIAGE, [reply, "Sorry."], ticket=TICKET))
    assert (len(asked), output) == (2, "Sorry.")


LEVEL = '%%chain made\nlevel -> "low" | "high"\n    How bad is {{ x }}?\n'


@pytest.mark.parametrize(
    ("reply", "requests"), [('"high"', 1), ('```\n"high"\n```', 1), ('It is "high".', 2), ('{"level": "high"}', 2)]
)
async def test_a_lone_value_is_taken_unless_text_stands_around_it(both, reply, requests):
    asked, output, _ = await both.compare(Case(LEVEL, [reply, {"value": "high"}], x="it"))
    assert (len(asked), output) == (requests, "high")


async def test_json_that_is_cut_off_is_asked_again(both):
    broken = '{"product": "disk", "severity": "high", "quote": "my disk",'
    asked, output, _ = await both.compare(Case(TRIAGE, [broken, HIGH, "Sorry."], ticket=TICKET))
    assert (len(asked), output) == (3, "Sorry.")
    assert "the JSON of the reply is cut off" in asked[1]["messages"][-1]["content"]


COMPUTED = """
from pydantic import BaseModel, ConfigDict, computed_field


class Box(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int

    @computed_field
    @property
    def area(self) -> int:
        return self.width**2


class Node(BaseModel):
    name: str
    children: "list[Node]" = []
"""


async def test_computed_fields_of_a_class_are_not_read_back(both):
    cell = "%%chain made\nbox -> Box\n    {{ x }}\nsay\n    {{ box.area }}\n"
    asked, output, _ = await both.compare(Case(cell, [{"width": 3}, "nine"], code=COMPUTED, x="box"))
    assert (asked[1]["messages"][0]["content"], output) == ("9", "nine")


async def test_a_class_that_refers_to_itself_is_read_by_its_fields(both):
    cell = "%%chain made\ntree -> Node\n    {{ x }}\n"
    replies = [{"other": 1}, {"name": "a", "children": [{"name": "b"}]}]
    asked, output, _ = await both.compare(Case(cell, replies, code=COMPUTED, x="tree"))
    assert len(asked) == 2
    assert output == {"name": "a", "children": [{"name": "b", "children": []}]}
    assert 'must be a JSON object with "name", "children"' in asked[1]["messages"][-1]["content"]


async def test_parameters_of_requests_dates_and_decimals_are_the_same(both):
    first = {"due": "2026-01-31", "at": "2026-01-31T10:00:00", "total": "12.10", "more": ["2026-02-01", None]}
    wrong, day = {**first, "due": 86400}, {"value": "2026-01-31"}
    replies = [wrong, first, {"value": "1.10"}, {"value": "1.10"}, day, day, "end"]
    asked, output, _ = await both.compare(Case(BILL, replies, mail="?"))
    assert (len(asked), output) == (7, "end")
    assert "write ISO text such as 2026-01-31" in asked[1]["messages"][-1]["content"]
    assert asked[-1]["messages"][-1]["content"].startswith("2026-01-31 2026-01-31 10:00:00 12.10 [")
    assert [(b.get("top_p"), b.get("stop"), b.get("seed"), b.get("reasoning_effort")) for b in asked] == [
        *2 * [(0.9, ["END", "."], 7, "low")], *2 * [(0.5, None, None, None)],
        *2 * [(None, None, None, None)], (None, ["END"], None, None),
    ]  # fmt: skip
