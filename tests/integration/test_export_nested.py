"""Orchestrations inside others: the module sends what the notebook sends, and returns the same."""

from __future__ import annotations

import pytest
from exported_cells import (
    ANSWERED,
    CAREFUL,
    CODE,
    CREW,
    CREW_TOOLS,
    DESK,
    EACH_DESK,
    HEADLINE,
    LEGAL,
    SLOGANS,
    SOLVE,
    TAGLINE,
    TOOLS,
)
from exporting import Both, Case, by_content

from orchmagic.models.scripting.reply import Reply

pytestmark = pytest.mark.slow


@pytest.fixture
def both(tmp_path):
    return Both(tmp_path)


async def test_a_chain_that_uses_a_route_that_uses_a_chain(both):
    replies = [
        {"label": "contracts", "confidence": 0.9},
        {"grave": False, "topic": "rent"},
        "No worry.",
        {"text": "Do not worry.", "tone": "calm"},
        {"label": "billing", "confidence": 0.9},
        "Paid.",
    ]
    asked, output, _ = await both.compare(Case(ANSWERED, replies, inner=(LEGAL, DESK), ticket="my rent"))
    assert (len(asked), output) == (6, "Paid.")
    assert asked[3]["messages"][0]["content"] == "Polish No worry. for my rent"


async def test_a_question_inside_a_handler_pauses_and_goes_on_without_repeating_anything(both):
    replies = [
        {"label": "contracts", "confidence": 0.9},
        {"grave": True, "topic": "rent"},
        "We call you.",
    ]
    case = Case(DESK, replies, inner=(LEGAL,), answers=("Call them.",), question="sue!")
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (3, "We call you.")
    assert asked[2]["messages"][0]["content"] == "Reply about rent. Call them. sue!"


async def test_a_parallel_section_that_is_a_refine(both):
    rules = {
        "A tagline": "Clean.",
        "Score from": {"score": 9, "feedback": "good"},
        "Price of": {"value": 3},
        "Clean. for 3": "Clean, for 3.",
    }
    case = Case(SLOGANS, by_content(rules), inner=(TAGLINE,), product="soap").in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (4, "Clean, for 3.")


async def test_an_orchestration_once_per_item(both):
    rules = {
        "Which team? bill": {"label": "billing", "confidence": 1},
        "Which team? rent": {"label": "contracts", "confidence": 1},
        "Billing: bill": "Paid.",
        "Is this grave? rent": {"grave": False, "topic": "rent"},
        "Reply about rent": "No worry.",
        '["Paid.","No worry."]': "two",
    }
    case = Case(EACH_DESK, by_content(rules), inner=(LEGAL, DESK), questions=["bill", "rent"]).in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (6, "two")


async def test_people_are_asked_item_by_item(both):
    rules = {
        "Which team?": {"label": "contracts", "confidence": 1},
        "Is this grave? a": {"grave": True, "topic": "a"},
        "Is this grave? b": {"grave": True, "topic": "b"},
        "Reply about a": "A!",
        "Reply about b": "B!",
        '["A!","B!"]': "two",
    }
    case = Case(EACH_DESK, by_content(rules), inner=(LEGAL, DESK), answers=("say a", "say b"), questions=["a", "b"])
    asked, output, _ = await both.compare(case.in_any_order())
    assert (len(asked), output) == (7, "two")
    assert {"Reply about a. say a a", "Reply about b. say b b"} <= {r["messages"][0]["content"] for r in asked}


TITLE = {"title": "T", "words": ["a"]}


async def test_later_steps_see_the_class_of_what_was_found_inside(both):
    cell = """%%chain page
head = headline(product=product)
body(when=head.title != "x")
    Body of {{ head.title }} {{ head.words }} {{ head }}
gate len(head.words) > 0 else stop "none"
"""
    asked, output, _ = await both.compare(Case(cell, [TITLE, {"score": 9}, "b"], inner=(HEADLINE,), product="p"))
    assert output == "b"
    assert asked[2]["messages"][0]["content"] == 'Body of T ["a"] {"title":"T","words":["a"]}'


async def test_what_was_found_inside_may_be_the_result(both):
    cell = "%%chain page\nhead = headline(product=product)\n"
    _, output, _ = await both.compare(Case(cell, [TITLE, {"score": 9}], inner=(HEADLINE,), product="p"))
    assert output == TITLE


async def test_an_orchestration_that_fails_for_one_item_leaves_the_others_alone(both):
    def replies(body):
        said = body["messages"][-1]["content"]
        if said == "Title for b":
            return Reply(fault="500")
        return {"title": said[-1], "words": []} if said.startswith("Title") else {"score": 9}

    cell = "%%chain pages\nheads(run=headline, over=products, item=product)\ntitles = [h.title for h in heads if h]\n"
    case = Case(cell, replies, inner=(HEADLINE,), products=["a", "b", "c"]).in_any_order()
    _, output, _ = await both.compare(case)
    assert output == ["a", "c"]


async def test_an_orchestration_whose_condition_is_false_is_skipped(both):
    cell = "%%chain w\na\n    {{ product }}\nhead(run=headline, when=a == 'go')\nb\n    Say {{ head }}\n"
    asked, output, _ = await both.compare(Case(cell, ["stop", "end"], inner=(HEADLINE,), product="p"))
    assert (len(asked), output) == (2, "end")


async def test_a_cascade_that_is_run_again(both):
    cell = "%%chain c\nx = solve(question=q)\ngate x.value == 2 else goto x\nend\n    {{ x.value }}\n"
    wrong, right, sure = {"work": "3", "value": 3}, {"work": "is 2", "value": 2}, {"value": 0.9}
    case = Case(cell, [wrong, sure, right, sure, "e"], inner=(SOLVE,), q="q")
    asked, output, _ = await both.compare(case.served(small={}, large={}, default={}))
    assert (len(asked), output) == (5, "e")


async def test_a_mapreduce_inside_a_chain(both):
    inner = """%%mapreduce dig --over document --chunk 60 --overlap 0
map -> n: int
    Count {{ chunk }}
reduce -> n: int, why: str
    Sum {{ parts }} {{ unit }}
"""
    cell = "%%chain use\ntotal = dig(document=docs)\nsay\n    {{ total.n }} {{ total.why }}\n"
    rules = {"Count": {"n": 1}, "Sum": {"n": 2, "why": "w"}, "2 w": "ok"}
    case = Case(cell, by_content(rules), inner=(inner,), docs="word and more. " * 40, unit="m").in_any_order()
    _, output, _ = await both.compare(case)
    assert output == "ok"


async def test_classes_of_the_notebook_inside(both):
    inner = "%%chain inner\nread -> Ticket\n    {{ text }}\nrank -> Severity\n    {{ read.product }}\n"
    cell = "%%chain outer\nx = inner(text=text)\ny(when=x == Severity.HIGH)\n    {{ x.value }} {{ x }}\n"
    replies = [{"product": "d", "severity": "low", "tags": []}, {"value": "high"}, "b"]
    asked, _, _ = await both.compare(Case(cell, replies, inner=(inner,), code=CODE, text="p"))
    assert asked[2]["messages"][0]["content"] == "high high"


async def test_constants_of_the_notebook_inside(both):
    inner = "%%chain inner\nfit = [p for p in PRODUCTS if p in text]\nsay\n    {{ fit }} {{ PRODUCTS }}\n"
    cell = "%%chain outer\nx = inner(text=text)\ny\n    {{ x }} {{ PRODUCTS[0] }}\n"
    case = Case(cell, ["a", "b"], inner=(inner,), code='PRODUCTS = ["p", "q"]\n', text="p")
    _, output, _ = await both.compare(case)
    assert output == "b"


async def test_names_that_functions_of_the_module_use_too(both):
    inner = """%%chain graph
found -> items: list[str]
    {{ inputs }}
vote(over=found.items, item=item)
    Vote {{ item }} {{ inputs }}
result = [v for v in vote if v]
"""
    cell = "%%chain outer\none = graph(inputs=state)\nmodels = len(one)\nresult\n    {{ models }} {{ one }}\n"

    def replies(body):
        return {"items": ["a", "b"]} if body["messages"][0]["content"] == "S" else "v"

    _, output, _ = await both.compare(Case(cell, replies, inner=(inner,), state="S").in_any_order())
    assert output == "v"


async def test_tool_calls_of_agents_that_run_item_by_item_are_approved(both):
    def replies(body):
        last = body["messages"][-1]
        if last["role"] == "tool":
            return f"done {last['content']}"
        if len(last["content"]) > 1:
            return "end"
        return Reply(tool_calls=[("refund", {"order_id": last["content"], "cents": 1})])

    cell = "%%chain c\nx(run=shop, over=questions, item=question)\nend\n    {{ x }}\n"
    answers = ({"action": "approve"}, {"action": "reject", "why": "no"})
    case = Case(cell, replies, inner=(CAREFUL,), code=TOOLS, questions=["a", "b"], answers=answers)
    asked, output, _ = await both.compare(case.in_any_order())
    assert (len(asked), output) == (5, "end")


AS_CALLS = (Reply(tool_calls=[("search", {"query": "x"})]), "F", Reply(tool_calls=[("count", {"text": "abc"})]), "C")
AS_JSON = (
    {"action": "search", "arguments": {"query": "x"}},
    {"action": "final_answer", "answer": "F"},
    {"action": "count", "arguments": {"text": "abc"}},
    {"action": "final_answer", "answer": "C"},
)


@pytest.mark.parametrize(("model", "said"), [({}, AS_CALLS), ({"tools": "json"}, AS_JSON)])
async def test_each_agent_has_tools_of_its_own(both, model, said):
    turns = [{"next": name, "task": "t", "answer": ""} for name in ("finder", "counter", "finish")]
    replies = [turns[0], *said[:2], turns[1], *said[2:], turns[2]]
    case = Case(CREW, replies, code=CREW_TOOLS, brief="b").served(default=model)
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (7, "C")
