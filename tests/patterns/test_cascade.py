"""%%cascade: one cheap call when it passes, the next model only when a check says so, never a silent acceptance."""

import asyncio

import pytest

from orchmagic import Reply, Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove
from orchmagic.patterns import PATTERNS
from orchmagic.trace.reasons import because

LADDER = "--models scripted/tiny,scripted/small,scripted/large"
CELL = f"""%%cascade solve {LADDER}
answer -> work: str, value: int
    Solve. {{{{ question }}}}
"""


@pytest.fixture
def ladder(notebook):
    """The models of the ladder (and a judge), each with its own script: `ladder(tiny=[...], large=[...])`."""

    def scripts(**replies):
        return {name: install(Script(replies.get(name, [])), name) for name in ("tiny", "small", "large", "judge")}

    yield scripts
    for name in ("tiny", "small", "large", "judge"):
        remove(name)


def solved(value, work="w"):
    return {"work": work, "value": value}


def asked(models):
    return {name: len(script.requests) for name, script in models.items() if script.requests}


def test_an_answer_that_passes_costs_one_call(notebook, ladder):
    models = ladder(tiny=[solved(4)])
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, True)
    assert asked(models) == {"tiny": 1}


def test_only_what_fails_goes_up_one_rung_at_a_time(notebook, ladder):
    models = ladder(tiny=[solved(3)], small=[solved(4)])
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, True)
    assert asked(models) == {"tiny": 1, "small": 1}
    reasons = [because(e.reason) for e in run.trace.events if type(e).__name__ == "Decided"]
    assert reasons == [
        "answer is not None and verify_1 is false (answer = Answer(work='w', value=3), verify_1 = False)"
    ]


def test_when_all_fail_the_last_answer_is_returned_and_marked(notebook, ladder):
    models = ladder(tiny=[solved(1)], small=[solved(2)], large=[solved(3)])
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 3, False)
    assert asked(models) == {"tiny": 1, "small": 1, "large": 1}


def test_the_first_check_that_fails_spares_the_rest_and_each_rung_is_tried_once(notebook, ladder):
    looked = []

    def look(value):
        looked.append(value)
        return value > 2

    models = ladder(tiny=[solved(1)], small=[solved(2, "good")], large=[solved(3, "good")])
    cell = CELL + "verify answer.work == 'good'\nverify look(answer.value)\n"
    run = notebook.run(cell, question="q", look=look)
    assert (run.output.value, run.verified, looked) == (3, True, [2, 3])
    assert asked(models) == {"tiny": 1, "small": 1, "large": 1}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_of_the_notebook_verifies(notebook, ladder, is_async):
    def holds(value):
        return value == 4

    async def holds_too(value):
        await asyncio.sleep(0)
        return value == 4

    models = ladder(tiny=[solved(3)], small=[solved(4)])
    run = notebook.run(CELL + "verify holds(answer.value)\n", question="q", holds=holds_too if is_async else holds)
    assert (run.output.value, run.verified) == (4, True)
    assert asked(models) == {"tiny": 1, "small": 1}


def test_a_regular_expression_verifies(notebook, ladder):
    models = ladder(tiny=["about four"], small=["It is 4."])
    cell = f"%%cascade {LADDER}\nanswer\n    {{{{ question }}}}\nverify re.search(r'\\d', answer)\n"
    run = notebook.run(cell, question="2+2")
    assert (run.output, run.verified) == ("It is 4.", True)
    assert asked(models) == {"tiny": 1, "small": 1}


def test_a_reply_that_does_not_fit_its_type_is_not_verified(notebook, ladder):
    models = ladder(tiny=["four", "still four"], small=[solved(4)])
    run = notebook.run(CELL + "verify answer.value > 0\n", question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, True)
    assert asked(models) == {"tiny": 2, "small": 1}


def test_an_answer_that_does_not_fit_goes_up_before_any_check_is_made(notebook, ladder):
    models = ladder(tiny=["four", "still four"], small=[solved(4)])
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert (run.output.value, run.verified) == (4, True)
    assert [s.name for s in run.record.steps] == ["answer", "verified", "answer", "verify_1", "verified"]
    assert asked(models) == {"tiny": 2, "small": 1}


def test_a_model_that_is_down_is_not_verified(notebook, ladder):
    ladder(tiny=[Reply(fault="401")], small=[solved(4)])
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, True)


def test_no_answer_at_all_is_a_failure(notebook, ladder):
    ladder(**{name: [Reply(fault="401")] for name in ("tiny", "small", "large")})
    run = notebook.run(CELL + "verify answer.value == 4\n", question="2+2")
    assert run.status == "failed"
    assert "none of scripted/tiny, scripted/small, scripted/large gave an answer" in run.error


def test_a_check_that_raises_has_not_verified(notebook, ladder):
    models = ladder(tiny=[solved(0)], small=[solved(2)])
    run = notebook.run(CELL + "verify 4 / answer.value == 2\n", question="q")
    assert (run.status, run.output.value, run.verified) == ("done", 2, True)
    assert asked(models) == {"tiny": 1, "small": 1}


JUDGED = """verify judge >= 0.8
    Question: {{ question }} Proposed: {{ answer.value }}. Probability that it is right?
"""


def test_a_judge_verifies_with_the_second_model_unless_another_is_named(notebook, ladder):
    models = ladder(tiny=[solved(3)], small=[{"value": 0.2}, solved(4), {"value": 0.9}])
    run = notebook.run(CELL + JUDGED, question="2+2")
    assert (run.output.value, run.verified, run.judge) == (4, True, 0.9)
    assert asked(models) == {"tiny": 1, "small": 3}


def test_the_judge_may_be_a_smaller_model(notebook, ladder):
    models = ladder(tiny=[solved(4)], judge=[{"value": 0.95}])
    run = notebook.run((CELL + JUDGED).replace("solve", "solve --judge scripted/judge"), question="2+2")
    assert (run.output.value, run.verified) == (4, True)
    assert asked(models) == {"tiny": 1, "judge": 1}
    assert models["judge"].requests[0]["messages"][-1]["content"].startswith("Question: 2+2 Proposed: 4.")


@pytest.mark.parametrize("reply", ["yes, certainly", "95 %", '{"value": 95}', '{"value": "high"}', '{"value": -1}', ""])
def test_a_judge_that_cannot_be_read_has_not_verified(notebook, ladder, reply):
    said = Reply(reply) if reply else Reply(fault="401")
    models = ladder(tiny=[solved(3)], small=[solved(3)], large=[solved(4)], judge=lambda _: said)
    run = notebook.run((CELL + JUDGED).replace("solve", "solve --judge scripted/judge"), question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, False)
    assert {k: v for k, v in asked(models).items() if k != "judge"} == {"tiny": 1, "small": 1, "large": 1}
    assert {s.status for s in run.record.steps if s.name == "verify_1"} == {"done"}


def test_a_judge_out_of_range_cannot_be_let_through_by_a_lax_comparison(notebook, ladder):
    ladder(tiny=[solved(3)], small=[solved(3)], large=[solved(3)], judge=lambda _: {"value": -5})
    run = notebook.run(
        CELL.replace("solve", "solve --judge scripted/judge") + "verify judge != 0.5 or judge is None\n    Right?\n",
        question="q",
    )
    assert run.verified is False


def test_the_judge_has_a_default_prompt(notebook, ladder):
    models = ladder(tiny=[solved(4)], judge=[{"value": 1.0}])
    notebook.run(CELL.replace("solve", "solve --judge scripted/judge") + "verify judge > 0.5\n", question="2+2")
    prompt = models["judge"].requests[0]["messages"][-1]["content"]
    assert prompt == 'Task:\nSolve. 2+2\n\nProposed answer:\n{"work":"w","value":4}'


def test_code_before_and_after_the_answer_runs_where_it_stands(notebook, ladder):
    models = ladder(tiny=["print(1"], small=["print(2)"])
    cell = f"""%%cascade {LADDER}
docs = search(question)
answer
    Use {{{{ docs }}}}
result = run(answer)
verify result == "2"
"""

    def run_code(source):
        return str(eval(source.removeprefix("print")))

    run = notebook.run(cell, question="q", search=lambda q: [q], run=run_code)
    assert (run.output, run.result, run.verified) == ("print(2)", "2", True)
    assert [s.name for s in run.record.steps].count("docs") == 1
    assert asked(models) == {"tiny": 1, "small": 1}


def test_the_budget_still_ends_the_run(notebook, ladder):
    ladder(tiny=[solved(1)])
    run = notebook.run(CELL.replace("solve", "solve --max-tokens 10") + "verify answer.value == 4\n", question="q")
    assert run.status == "capped"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nanswer\n    x\n", "at least two models"),
        (" --models small\nanswer\n    x\n", "at least two models"),
        (f" {LADDER}\nverify 1\n", "no step 'answer'"),
        (f" {LADDER}\nanswer\nverify 1\n", "step 'answer' has no prompt"),
        (f" {LADDER}\nanswer(model=large)\n    x\n", "`model=` beside --models"),
        (f" {LADDER}\nanswer\n    x\nanswr\n    y\n", "no step 'answr'"),
        (f" {LADDER}\nanswer\n    x\nverified = 1\n", "'verified' is a name of %%cascade itself"),
        (f" {LADDER}\nanswer\n    x\nverify answer > 0.8\n    Is it right?\n", "its expression asks no judge"),
        (f" {LADDER}\nanswer\n    x\nverify judge > 1\nverify judge > 2\n", "a second judge"),
        (f" {LADDER}\nanswer\n    x\ngate True\n", "no `gate` line"),
        (f" {LADDER}\nanswer -> value: int\n    x\nverify answer.valu > 1\n", "no output 'valu'"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, text, told):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%cascade{text}")
    assert [p for p in caught.value.problems if told in p.found]
    assert all(p.write for p in caught.value.problems)


def test_the_example_runs(notebook, ladder):
    models = ladder(small=[solved(4, "2+2 is 4")], large=[{"value": 0.9}])
    example = PATTERNS.get("cascade").example.replace("small,large", "scripted/small,scripted/large")
    run = notebook.run(example, question="2+2")
    assert (run.status, run.output.value, run.verified) == ("done", 4, True)
    assert asked(models) == {"small": 1, "large": 1}
