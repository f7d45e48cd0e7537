"""`%orch advise`: the first rule whose figures hold, quoted; answers win over figures; the next step; the parts."""

from dataclasses import replace

import pytest
from lives import bind

from orchmagic import Reply, advise
from orchmagic.errors import InputError, SettingsError
from orchmagic.lint import advice, choosing, of_session
from orchmagic.notebook import commands
from orchmagic.storage.row_store import PastEvaluation
from orchmagic.trace.events import Usage

CHAIN = "%%chain c\nfirst -> product: str\n    {{ q }}\nsecond\n    {{ first.product }}\n"
AGENT = "%%react orders --tools find_order --max-iterations 9\nWhere is it? {{ q }}\n"
REMOTE = {"model": "qwen", "base_url": "http://127.0.0.1:9/v1"}


def find_order(order_id: str) -> str:
    """Find an order."""
    return f"order {order_id}"


@pytest.fixture
def book(notebook):
    notebook.space.update(q="a question", find_order=find_order)
    return notebook


@pytest.mark.parametrize(
    ("predictable", "asymmetric", "says"),
    [
        ("yes", "no", "chain, %%chain"),
        ("no", "no", "branching, %%route"),
        ("yes", "yes", "routing, %%cascade"),
        ("no", "yes", "plan-execute-reflect, %%plan"),
    ],
)
def test_two_answers_give_the_cell_of_the_table(book, predictable, asymmetric, says):
    said = str(commands.run(book.session, f"advise predictable={predictable} asymmetric={asymmetric}"))
    assert said.startswith(f"Advice: {says}")
    assert advise(predictable=predictable == "yes", asymmetric=asymmetric).choice.startswith(says)


@pytest.mark.parametrize(
    ("answers", "pattern"),
    [
        ({"heterogeneous": "yes", "large": "yes", "roles": "yes"}, "%%route"),
        ({"heterogeneous": "no", "large": "yes", "tools": "yes"}, "%%mapreduce"),
        ({"tools": "yes", "planning": "yes"}, "%%react"),
        ({"planning": "yes", "roles": "yes"}, "%%plan"),
        ({"roles": "yes"}, "%%team"),
        (dict.fromkeys(("heterogeneous", "large", "tools", "planning", "roles"), "no"), "%%chain"),
    ],
)
def test_the_first_yes_names_the_pattern(answers, pattern):
    assert advise(**answers).choice == pattern


def runs(book, made, *histories):
    """Records on different inputs: (count, replies, cost of each run in US dollars)."""
    found = []
    for count, replies, cost in histories:
        book.space["q"] = f"question {len(found)}"
        book.script(*replies)
        record = made().record
        spans = tuple(replace(s, cost=cost, saved=None) if s.kind == "ask" else s for s in record.spans)
        found += [replace(record, inputs={"q": str(len(found) + n)}, spans=spans) for n in range(count)]
    return found


def advice_on(book, made, records=(), figures=None, **given):
    past = [PastEvaluation("now", "rows", "2026-03-01", figures)] if figures else []
    subject = replace(of_session.subject(book.session, made), records=records, evaluations=past)
    if figures:
        subject.__dict__["evaluated"] = past[0]
    return advice.advise(subject, choosing.read(given))


LOOK = Reply("", tool_calls=[("find_order", {"order_id": "7"})])


def test_an_agent_that_always_does_the_same_is_a_chain(book):
    made = bind(book, AGENT)
    found = advice_on(book, made, runs(book, made, (39, [LOOK, "found"], 0.1), (1, ["which?"], 0.1)))
    assert found.choice == "%%chain"
    assert "called find_order in 39 of 40 runs" in found.why
    assert found.answers["predictable"].figures.startswith("98% of 40 rows")
    assert advice_on(book, made, runs(book, made, (40, [LOOK, "found"], 0.1)), tools="yes").choice == "keep %%react"


@pytest.mark.parametrize(
    ("histories", "choice", "question"),
    [
        ([(20, [LOOK, "a"], 0.1), (20, ["b"], 0.1)], "keep %%react", "tools"),
        ([(5, [LOOK] * 9, 0.1), (20, [LOOK, "b"], 0.1)], "%%plan", "planning"),
        ([(14, [LOOK, "a"], 0.1), (15, ["b"], 0.1)], "branching, %%route", "predictable"),
        ([(14, [LOOK, "a"], 0.5), (15, ["b"], 0.1)], "plan-execute-reflect, %%plan", "asymmetric"),
        ([(19, [LOOK, "a"], 0.1)], "keep %%react", "no figure"),
    ],
)
def test_figures_of_runs_decide(book, histories, choice, question):
    made = bind(book, AGENT)
    found = advice_on(book, made, runs(book, made, *histories))
    assert found.choice == choice, repr(found)
    assert question in found.why


def test_long_prompts_are_for_mapreduce(book):
    made = bind(book, CHAIN)
    found = runs(book, made, (20, ['{"product": "lamp"}', "fine"], 0.1))
    longer = [
        replace(r, spans=tuple(replace(s, usage=Usage(input=5_000)) if s.kind == "ask" else s for s in r.spans))
        for r in found
    ]
    assert advice_on(book, made, longer).choice == "%%mapreduce"
    assert advice_on(book, made, found).choice == "keep %%chain"


EVALUATED = {"count": 60, "undecided": [], "labels": {}, "variants": [], "by_label": []}


@pytest.mark.parametrize(
    ("figures", "choice", "says"),
    [
        (
            {"variants": [["c", "meets", 0.9, 0.1], ["c_plain@small", "meets", 0.9, 0.1]]},
            "a plain call is enough",
            "90%",
        ),
        ({"variants": [["c_plain", "not shown", 0.9, 0.1]]}, "keep %%chain", "no figure"),
        ({"by_label": [["a", 30, 30, 0.89, 1.0], ["b", 10, 30, 0.19, 0.51]]}, "%%route", "a 100% of 30, b 33% of 30"),
        ({"by_label": [["a", 30, 30, 0.89, 1.0], ["b", 28, 30, 0.79, 0.98]]}, "keep %%chain", "no figure"),
        ({}, "keep %%chain", "no figure"),
    ],
)
def test_figures_of_an_evaluation_decide(book, figures, choice, says):
    found = advice_on(book, bind(book, CHAIN), figures={**EVALUATED, **figures})
    assert found.choice == choice
    assert says in found.why


def test_the_cheapest_model_that_gets_most_right_makes_costs_asymmetric(book):
    made = bind(book, CHAIN)
    both = [["c@small", None, 0.8, 0.1], ["c@large", None, 0.9, 1.0]]
    found = advice_on(book, made, figures={**EVALUATED, "variants": both}, predictable="yes")
    assert found.choice == "routing, %%cascade, or %%route with a model for each handler"
    assert "c@small, the cheapest, gets 80% right" in found.answers["asymmetric"].figures


GATED = "%%chain c --model small\nfirst -> product: str\n    {{ q }}\ngate first.product\n"
STEPS = [
    (CHAIN, {}, False, "a reference set: rows with what is right, and %%evaluate c --on rows"),
    (GATED, {"small": REMOTE}, True, "a fallback: 'small' has one deployment"),
    (CHAIN, {}, True, "a route:"),
    ("%%cascade c --models scripted,free --judge free\nanswer\n    {{ q }}\nverify judge >= 0.5\n",
     {"free": {"provider": "scripted", "model": "free"}}, True, "nothing is missing"),
    ("%%route c --otherwise human\na: x\n    {{ q }}\nhuman: y\n    {{ q }}\n", {}, True, "a check:"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "models", "evaluated", "says"), STEPS, ids=[s[3][:12] for s in STEPS])
def test_the_next_step_is_the_first_that_is_missing(book, cell, models, evaluated, says):
    book.session.add_models(models)
    found = advice_on(book, bind(book, cell), figures=EVALUATED if evaluated else None)
    assert found.next_step.startswith(says)


def test_the_parts_are_read_from_the_graph(book):
    found = dict(advice_on(book, bind(book, AGENT.replace("--tools", "--budget 0.5 --tools"))).parts)
    assert [*found] == [
        "control flow", "data flow", "failure handling", "routing", "state", "retrieval", "tools", "observability",
    ]  # fmt: skip
    assert found["tools"] == "tools: find_order"
    assert "at most 9 rounds" in found["failure handling"]
    assert "budget $0.5" in found["failure handling"]
    assert "inputs: q" in found["data flow"]
    assert found["routing"] == "none"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("advise", "name an orchestration: %orch advise triage"),
        ("advise predictible=yes", "no question 'predictible'"),
        ("advise predictable=maybe", "predictable=maybe: write predictable=yes or predictable=no"),
        ("advise c d", "'d' is no answer"),
    ],
)
def test_bad_input_is_one_clear_line(book, line, says):
    with pytest.raises(InputError) as refused:
        commands.run(book.session, line)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_name_and_a_missing_notebook_are_said(book):
    bind(book, CHAIN)
    with pytest.raises(SettingsError, match="cc"):
        commands.run(book.session, "advise cc")
    with pytest.raises(InputError, match="name an orchestration"):
        advise()
    with pytest.raises(InputError, match="no notebook has orchmagic loaded"):
        advise("c")


def test_the_same_advice_as_text_and_html(book):
    made = bind(book, CHAIN)
    said = commands.run(book.session, "advise c")
    html = said._repr_html_()
    for word in ("keep %%chain", "predictable", "heterogeneous", "a reference set", "control flow"):
        assert word in repr(said)
        assert word in html
    assert made.__name__ in repr(said)
