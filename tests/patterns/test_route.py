"""%%route: the right handler, only that handler, and never a random one."""

import pytest

from orchmagic import Reply, Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove

CELL = """%%route helpdesk{options}
router
    Which team? {{{{ question }}}}
billing(model=scripted/large): refunds
    Billing: {{{{ question }}}}
technical: crashes
    Technical: {{{{ question }}}}
human(ask="Please answer: {{{{ question }}}}"): anything else
"""


@pytest.fixture
def large():
    yield install(Script(lambda _: "from the large one"), "large")
    remove("large")


def test_the_label_picks_the_handler_and_its_model(notebook, large):
    notebook.script({"label": "billing"})
    run = notebook.run(CELL.format(options=""), question="money back")
    assert run.output == "from the large one"
    assert large.requests[0]["messages"][0]["content"] == "Billing: money back"
    assert len(notebook.scripted.requests) == 1


def test_the_router_is_held_to_the_labels(notebook, large):
    notebook.script({"label": "technical"}, "reboot")
    notebook.run(CELL.format(options=""), question="q")
    schema = notebook.scripted.requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"]["enum"] == ["billing", "technical", "human"]
    assert "- billing: refunds" in notebook.scripted.requests[0]["messages"][0]["content"]


def test_confidence_without_logprobs_is_self_reported_and_says_so(notebook, large):
    notebook.session.services.environ.update(
        {
            "ORCHMAGIC_MODELS": '{"plain": {"provider": "scripted", "model": "scripted", "logprobs": false}}',
        }
    )
    notebook.script({"label": "technical", "confidence": 0.4}, "reboot")
    run = notebook.run(CELL.format(options=" --model plain --min-confidence 0.3 --otherwise human"), question="q")
    assert run.router.confidence == 0.4
    decided = [e for e in run.trace.events if type(e).__name__ == "Decided"]
    assert (decided[0].confidence, decided[0].basis) == (0.4, "self-report")


def test_confidence_comes_from_the_tokens_of_the_label(notebook, large):
    logprobs = [('{"label": "', -3.0), ("tech", -0.1), ("nical", -0.2), ('"}', -3.0)]
    notebook.script(Reply({"label": "technical"}, logprobs=logprobs), "reboot")
    run = notebook.run(CELL.format(options=" --min-confidence 0.7 --otherwise human"), question="q")
    assert round(run.router.confidence, 3) == 0.741
    assert run.output == "reboot"
    assert "confidence" not in str(notebook.scripted.requests[0]["response_format"])


def test_too_unsure_a_label_goes_to_otherwise(notebook, large):
    notebook.script(Reply({"label": "technical"}, logprobs=[('{"label": "', 0), ("technical", -0.9), ('"}', 0)]))
    run = notebook.run(CELL.format(options=" --min-confidence 0.7 --otherwise human"), question="q")
    assert (run.status, run.reason) == ("waiting", "Please answer: q")
    run.resume("I will call you")
    assert (run.status, run.output) == ("done", "I will call you")


def test_a_label_that_is_never_right_goes_to_otherwise(notebook, large):
    notebook.script(*[{"label": "sales"}] * 2)
    run = notebook.run(CELL.format(options=" --otherwise human"), question="q")
    assert run.status == "waiting"
    assert len(notebook.scripted.requests) == 2


def test_a_label_that_is_never_right_fails_without_otherwise(notebook, large):
    notebook.script(*[Reply(fault="wrong_enum")] * 2)
    run = notebook.run(CELL.format(options=""), question="q")
    assert run.status == "failed"
    assert "router" in run.error


def test_a_python_function_can_be_the_router(notebook, large):
    cell = CELL.format(options="").replace("router\n    Which team? {{ question }}\n", "router = pick(question)\n")
    notebook.script("reboot")
    run = notebook.run(cell, question="crash", pick=lambda q: "technical")
    assert run.output == "reboot"
    assert run.record.calls == 1


def test_a_python_router_with_an_unknown_label_fails_or_goes_to_otherwise(notebook, large):
    cell = CELL.format(options="").replace("router\n    Which team? {{ question }}\n", "router = 'nobody'\n")
    assert notebook.run(cell, question="q").status == "failed"
    routed = cell.replace("helpdesk", "helpdesk --otherwise human")
    assert notebook.run(routed, question="q").status == "waiting"


def test_rules_route_without_a_model(notebook):
    cell = """%%route --otherwise other
billing(match="refund|invoice"): money
    B {{ question }}
technical(match="crash"): errors
    T {{ question }}
other: the rest
    O {{ question }}
"""
    notebook.script(lambda body: body["messages"][-1]["content"])
    assert notebook.run(cell, question="My INVOICE is wrong").output == "B My INVOICE is wrong"
    assert notebook.run(cell, question="it does crash").output == "T it does crash"
    assert notebook.run(cell, question="hello").output == "O hello"
    assert len(notebook.scripted.requests) == 3


def test_the_router_has_a_default_prompt(notebook):
    cell = "%%route\na: apples\n    A {{ q }}\nb: pears\n    B {{ q }}\n"
    notebook.script({"label": "b"}, "pear")
    assert notebook.run(cell, q="green?").output == "pear"
    assert notebook.prompts[0] == "green?"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%route\na: x\n    y\n", "at least two handlers"),
        ("%%route --otherwise humn\na: x\n    y\nhuman: z\n    y\n", "did you mean 'human'"),
        ("%%route --min-confidence 0.5\na: x\n    y\nb: z\n    y\n", "Add --otherwise"),
        ("%%route\na: x\nb: z\n    y\n", "handler 'a' has no prompt"),
        ("%%route\na(run=other): x\nb: z\n    y\n", "no orchestration of the notebook"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, cell, told):
    with pytest.raises(CellError, match=told):
        notebook.define(cell)


SMALL = {"provider": "scripted", "model": "scripted"}


@pytest.mark.parametrize(
    ("models", "line", "router", "asked"),
    [
        ({}, "", "", "scripted"),
        ({"small": SMALL}, "", "", "small"),
        ({"small": SMALL}, "--model other", "", "other"),
        ({"small": SMALL, "large": SMALL}, "", "(model=large)", "large"),
    ],
)
def test_a_router_asks_the_small_model_where_there_is_one_and_nothing_else_is_said(
    notebook, models, line, router, asked
):
    notebook.session.add_models({"other": SMALL, **models})
    cell = f"%%route {line}\nrouter{router}\n    Which? {{{{ q }}}}\na: x\n    A {{{{ q }}}}\nb: y\n    B {{{{ q }}}}\n"
    notebook.script({"label": "a"}, "answer")
    run = notebook.run(cell, q="q")
    first, second = run.receipt()
    assert (first["step"], first["alias"]) == ("router", asked)
    assert (second["step"], second["alias"]) == ("a", "other" if line else "scripted")
    notebook.space["q"] = "q"
    assert notebook.define(cell).estimate().steps[0].model == asked
