"""Every pattern: the module sends what the notebook sends, and returns the same."""

from __future__ import annotations

import itertools

import pytest
from exported_cells import (
    ARITHMETIC,
    DIGEST,
    LAUNCH,
    MODERATE,
    OVER,
    REPORT,
    SEARCH,
    SOLVE,
    TAGLINE,
    VOTED,
)
from exporting import Both, Case, by_content

from orchmagic.core.portable import count_votes
from orchmagic.export.vendored import fan_out
from orchmagic.models.scripting.reply import Reply

pytestmark = pytest.mark.slow


@pytest.fixture
def both(tmp_path):
    return Both(tmp_path)


LARGE = {"large": {}}
POST = {"label": "ok", "reason": "kind"}
MERGED = {"publish": True, "why": "all fine"}


async def test_the_parallel_example(both):
    rules = {"toxic?": POST, "personal data?": {"value": False}, "Decide": MERGED}
    case = Case(MODERATE, by_content(rules), post="hello").served(default={}, **LARGE).in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (7, MERGED)
    assert '"agreement":1.0,"dissent":[],"tie":false,"decided":true' in str(
        [r["messages"][-1]["content"] for r in asked]
    )


async def test_a_section_that_fails_leaves_the_others_alone(both):
    rules = {"toxic?": POST, "personal data?": Reply(fault="500"), "Decide": MERGED}
    case = Case(MODERATE, by_content(rules), post="hello").served(default={}, **LARGE).in_any_order()
    asked, output, _ = await both.compare(case)
    merging = next(r["messages"][-1]["content"] for r in asked if "Decide" in r["messages"][-1]["content"])
    assert merging.endswith("Personal data: . Decide.")
    assert output == MERGED


async def test_all_sections_failing_fail_the_run(both):
    case = Case(MODERATE, lambda _: Reply(fault="500"), post="hello").served(default={}, **LARGE).in_any_order()
    _, _, status = await both.compare(case)
    assert status == "failed"


class Turns:
    """Replies to votes in turn: every vote asks the same."""

    def __init__(self, *votes, judge=None):
        self.votes = itertools.cycle(votes)
        self.judge = judge

    def __call__(self, body):
        if not body["messages"][-1]["content"].startswith("Is Ann"):
            return "done"
        return {"value": self.judge if body["model"] == "large-model" else next(self.votes)}


TIE = VOTED.replace("{{ verdict.value }} {{ verdict.agreement }}", "{{ verdict.tie }} {{ verdict.agreement }}")


async def test_a_tie_is_told(both):
    case = Case(TIE.replace(" --fallback large", ""), Turns("guilty", "free"), name="Ann").in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (5, "done")
    assert asked[-1]["messages"][0]["content"] == "True 0.5 False"


async def test_votes_that_do_not_agree_are_decided_by_the_fallback(both):
    replies = Turns("guilty", "free", judge="free")
    case = Case(VOTED, replies, name="Ann").served(default={}, **LARGE).in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (6, "done")
    assert asked[-1]["messages"][0]["content"] == "free 0.5 True"


@pytest.mark.parametrize("least", [0, 0.5, 0.9])
@pytest.mark.parametrize("by", ["", "x"])
async def test_the_module_counts_votes_as_the_notebook_does(by, least):
    for given in itertools.product(["a", "A ", "b", None], repeat=4):
        values = [v and {"x": v} for v in given]
        if not any(values):
            continue
        waiting = iter(values)

        async def vote(waiting=waiting):
            found = next(waiting)
            if found is None:
                raise RuntimeError("no vote")
            return found

        winner, told = await fan_out.voted(vote, 4, by=by, least=least)
        first, counted = count_votes([v for v in values if v], 4, by)
        assert (winner, told) == (first, {**counted, "decided": counted["agreement"] >= least})


async def test_when_no_vote_is_given_the_step_fails(both):
    case = Case(VOTED, lambda _: Reply(fault="500"), name="Ann").served(default={}, **LARGE).in_any_order()
    _, _, status = await both.compare(case)
    assert status == "failed"


async def test_votes_that_agree_need_no_judge(both):
    rules = {"Is Ann": {"value": "guilty"}, "guilty": "sad"}
    case = Case(VOTED, by_content(rules), name="Ann").served(default={}, **LARGE).in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (5, "sad")


TICKETS = [{"id": 1, "text": "disk"}, {"id": 2, "text": "bug"}, {"id": 3, "text": "cat"}]


async def test_a_step_once_per_item_keeps_the_order(both):
    rules = {
        "Label disk of 1": {"label": "hard", "urgent": True},
        "Label bug of 2": {"label": "soft", "urgent": True},
        "Label cat of 3": {"label": "none", "urgent": False},
        '["hard","soft"]': "closed",
    }
    case = Case(OVER, by_content(rules), tickets=TICKETS, team="A").in_any_order()
    asked, output, _ = await both.compare(case)
    assert (len(asked), output) == (4, "closed")


async def test_an_item_that_fails_is_none_and_leaves_the_others_alone(both):
    rules = {
        "disk": {"label": "hard", "urgent": True},
        "Label bug": Reply(fault="500"),
        "cat": {"label": "none", "urgent": True},
        '["hard","none"]': "closed",
    }
    case = Case(OVER, by_content(rules), tickets=TICKETS, team="A").in_any_order()
    asked, output, _ = await both.compare(case)
    assert output == "closed"
    assert ",null," in asked[-1]["messages"][0]["content"]


async def test_items_that_all_fail_fail_the_run(both):
    case = Case(OVER, lambda _: Reply(fault="500"), tickets=TICKETS, team="A").in_any_order()
    _, _, status = await both.compare(case)
    assert status == "failed"


async def test_no_items_are_no_requests(both):
    asked, _, status = await both.compare(Case(OVER, [], tickets=[], team="A"))
    assert (asked, status) == ([], "done")


TEXT = "\n\n".join(f"Fact {n}: the river {n} is {n * 7} km long and flows north." for n in range(40))


async def test_the_mapreduce_example(both):
    def claims(body):
        said = body["messages"][-1]["content"]
        if said.startswith("The key claims"):
            return {"value": [line[:8] for line in said.splitlines() if "Fact" in line]}
        return f"page of {len(said)}"

    cell = DIGEST.replace("--chunk 3500", "--chunk 90 --overlap 10")
    asked, output, _ = await both.compare(Case(cell, claims, document=TEXT).in_any_order())
    assert len(asked) > 10
    assert output.startswith("page of")


async def test_mapreduce_over_a_list_leaves_failed_parts_out(both):
    rules = {"claims of this passage: b": Reply(fault="500"), "claims of this": {"value": ["x"]}, "Merge": "all"}
    asked, output, _ = await both.compare(Case(DIGEST, by_content(rules), document=["a", "b", "c"]).in_any_order())
    assert (len(asked), output) == (4, "all")


async def test_the_refine_example_returns_the_best_round(both):
    replies = ["first", {"score": 6, "feedback": "dull"}, "second", {"score": 9, "feedback": "fine"}]
    asked, output, _ = await both.compare(Case(TAGLINE, replies, product="soap"))
    assert (len(asked), output) == (4, "second")


async def test_a_capped_refine_returns_the_best_round_too(both):
    scores = [3, 7, 5, 6]
    replies = [r for n, s in enumerate(scores) for r in (f"draft {n}", {"score": s, "feedback": "no"})]
    asked, output, status = await both.compare(Case(TAGLINE, replies, product="soap"))
    assert (len(asked), output, status) == (8, "draft 1", "capped")


MODELS = {"small": {}, "large": {}, "default": {}}
RIGHT = {"work": "1 + 1 = 2", "value": 2}
WRONG = {"work": "I guess", "value": 3}
SURE = {"value": 0.9}
UNSURE = {"value": 0.1}


@pytest.mark.parametrize(
    ("replies", "models", "output"),
    [
        ([RIGHT, SURE], ["small", "large"], RIGHT),
        ([WRONG, RIGHT, SURE], ["small", "large", "large"], RIGHT),
        (["no JSON", "no JSON", RIGHT, SURE], ["small", "small", "large", "large"], RIGHT),
        ([RIGHT, "who knows", "who knows", RIGHT, SURE], ["small", "large", "large", "large", "large"], RIGHT),
        ([RIGHT, UNSURE, WRONG], ["small", "large", "large"], WRONG),
        ([RIGHT, UNSURE, RIGHT, UNSURE], ["small", "large", "large", "large"], RIGHT),
    ],
)
async def test_the_cascade_example_asks_the_next_model_until_one_is_verified(both, replies, models, output):
    asked, found, _ = await both.compare(Case(SOLVE, replies, question="1 + 1?").served(**MODELS))
    assert found == output
    assert [body["model"].removesuffix("-model") for body in asked] == models


async def test_a_cascade_whose_check_raises_has_not_verified_anything(both):
    cell = SOLVE.replace("str(answer.value) in answer.work", "arithmetic_ok(answer.work) / 0 > 1")
    case = Case(cell, [RIGHT, RIGHT], code=ARITHMETIC, question="1 + 1?").served(**MODELS)
    asked, found, _ = await both.compare(case)
    assert (len(asked), found) == (2, RIGHT)


async def test_the_team_example(both):
    replies = [
        {"next": "researcher", "task": "find soap", "answer": ""},
        Reply(tool_calls=[("search", {"query": "soap"})]),
        "Soap is old.",
        {"next": "writer", "task": "write", "answer": ""},
        "Buy soap.",
        {"next": "finish", "task": "", "answer": "Done: buy soap."},
    ]
    asked, output, _ = await both.compare(Case(LAUNCH, replies, code=SEARCH, brief="sell soap"))
    assert (len(asked), output) == (6, "Done: buy soap.")


async def test_a_team_whose_turns_are_used_up_returns_the_last_result(both):
    turn = [{"next": "writer", "task": "write", "answer": ""}, "Buy soap."]
    cell = LAUNCH.replace("--max-turns 10", "--max-turns 3")
    _, output, status = await both.compare(Case(cell, turn * 9, code=SEARCH, brief="sell soap"))
    assert (output, status) == ("Buy soap.", "capped")


async def test_the_plan_example_whose_steps_use_tools(both):
    replies = [
        {"steps": ["look", "write"]},
        Reply(tool_calls=[("search", {"query": "bees"})]),
        "Bees are fine.",
        "A page.",
        {"ok": False, "feedback": "too short"},
        {"steps": ["write more"]},
        "A longer page.",
        {"ok": True, "feedback": ""},
    ]
    asked, output, _ = await both.compare(Case(REPORT, replies, code=SEARCH, goal="a report on bees"))
    assert len(asked) == 8
    assert [r["result"] for r in output] == ["Bees are fine.", "A page.", "A longer page."]


async def test_a_plan_side_by_side(both):
    def worker(body):
        said = body["messages"][-1]["content"]
        if "at most 6 steps" in said:
            return {"steps": ["a", "b", "c"]}
        return {"ok": True, "feedback": ""} if "supported" in said else f"did {said[14:16]}"

    cell = REPORT.replace("--tools search", "--parallel")
    asked, output, _ = await both.compare(Case(cell, worker, goal="g").in_any_order())
    assert (len(asked), len(output)) == (5, 3)


async def test_votes_on_each_item(both):
    cell = """%%chain vv
label(over=xs, item=x, votes=3, min=0.6) -> "a" | "b"
    {{ x }}?
say
    {{ label[0].value }} {{ label }}
"""
    rules = {"?": {"value": "a"}, "agreement": "s"}
    asked, output, _ = await both.compare(Case(cell, by_content(rules), xs=["p", "q"]).in_any_order())
    assert (len(asked), output) == (7, "s")


async def test_how_often_a_step_ran_is_there_to_read(both):
    cell = """%%chain v --max-iterations 3
draft
    Draft {{ visits }} {{ visits.get("draft", 0) }} {{ topic }}
gate visits["draft"] > 1 else goto draft
end = visits
"""
    asked, output, _ = await both.compare(Case(cell, ["a", "b"], topic="t"))
    assert [r["messages"][0]["content"] for r in asked] == ["Draft {} 0 t", 'Draft {"draft":1,"gate_1":1} 1 t']
    assert output == {"draft": 2, "gate_1": 2}


async def test_every_step_is_counted_where_an_expression_reads_all_counts(both):
    cell = "%%chain v\nfirst = topic\ndraft\n    Draft {{ first }}\nend = sum(visits.values()) + len(visits)\n"
    _, output, _ = await both.compare(Case(cell, ["a"], topic="t"))
    assert output == 4


@pytest.mark.parametrize(
    ("cell", "read", "prompts"),
    [
        (
            "%%chain v\na\n    {{ messages[0] }} {{ errors }} {{ visits }}\n",
            "messages,errors,visits",
            ['hi ["disk"] 3'],
        ),
        ("%%chain v\na(over=errors, item=e)\n    {{ e }}\nb\n    {{ visits }}\n", "errors,visits", ["disk", "3"]),
        ("%%parallel v\na\n    {{ errors[0] }}\nb = boom(messages)\n", "errors,messages", ["disk"]),
        ("%%chain v\na\n    {{ errors }}\ngate visits['a'] > 1 else goto a\n", "errors", ['["disk"]', '["disk"]']),
    ],
)
async def test_a_variable_may_have_a_name_of_the_run(both, cell, read, prompts):
    values = {name: {"messages": ["hi"], "errors": ["disk"], "visits": 3}[name] for name in read.split(",")}
    code = "def boom(x: object) -> str:\n    raise ValueError(x)\n\n\n" + "".join(
        f"{n} = {v}\n" for n, v in values.items()
    )
    asked, _, _ = await both.compare(Case(cell, by_content({"": "!"}), code=code, **values).in_any_order())
    assert sorted(r["messages"][-1]["content"] for r in asked) == sorted(prompts)


async def test_code_that_raises_in_a_section_leaves_the_others_alone(both):
    code = "def boom(x: str) -> str:\n    raise ValueError(x)\n\n\ndef fine(x: str) -> str:\n    return x\n"
    cell = "%%parallel p\na = boom(x)\nb = fine(x)\nc\n    C {{ x }}\n"
    _, output, _ = await both.compare(Case(cell, ["c!"], code=code, x="q").in_any_order())
    assert output == {"a": None, "b": "q", "c": "c!"}
