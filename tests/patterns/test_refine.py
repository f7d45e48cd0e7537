"""%%refine: scored rounds with the criticism of the last one; the best round is the result, not the last."""

import pytest
from pydantic import BaseModel

from orchmagic import Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove
from orchmagic.patterns import PATTERNS

CELL = """%%refine tagline --no-cache{options}
generate(temperature=0.9)
    A tagline for {{{{ product }}}}. {{% if evaluate %}}Improve on: {{{{ evaluate.feedback }}}}{{% endif %}}
evaluate -> score: float, feedback: str
    Score from 0 to 10: {{{{ generate }}}}
until evaluate.score >= 8{maximum}
"""


def cell(options="", maximum=" max 4"):
    return CELL.format(options=options, maximum=maximum)


def judged(score, feedback="more"):
    return {"score": score, "feedback": feedback}


def rounds(run):
    return [(r["round"], r["score"], r["met"], r["value"]) for r in run.rounds]


def test_it_stops_at_the_first_round_that_meets_the_bar(notebook):
    notebook.script("one", judged(5, "shorter"), "two", judged(8.5))
    run = notebook.run(cell(), product="lamps")
    assert (run.status, run.output) == ("done", "two")
    assert rounds(run) == [(1, 5.0, False, "one"), (2, 8.5, True, "two")]
    assert notebook.prompts[0] == "A tagline for lamps. "
    assert notebook.prompts[2] == "A tagline for lamps. Improve on: shorter"


def test_a_good_first_answer_costs_one_round(notebook):
    notebook.script("one", judged(9))
    run = notebook.run(cell(), product="lamps")
    assert (run.status, run.output, run.record.calls) == ("done", "one", 2)


def test_the_cap_returns_the_best_round_and_not_the_last(notebook):
    notebook.script("one", judged(5), "two", judged(7), "three", judged(6), "four", judged(2))
    run = notebook.run(cell(), product="lamps")
    assert (run.status, run.output) == ("capped", "two")
    assert "4 rounds were not enough" in run.reason
    assert run.record.calls == 8


def test_among_equal_rounds_the_latest_is_taken(notebook):
    notebook.script("one", judged(7), "two", judged(7))
    assert notebook.run(cell(maximum=" max 2"), product="lamps").output == "two"


def test_a_round_that_meets_the_bar_wins_over_a_higher_score_that_does_not(notebook):
    notebook.script("aaaa", judged(9.5), "b", judged(8))
    text = cell().replace("until evaluate.score >= 8", "until evaluate.score >= 8 and len(generate) < 3")
    run = notebook.run(text, product="lamps")
    assert (run.status, run.output) == ("done", "b")


@pytest.mark.parametrize(("options", "maximum", "calls"), [(" --max-iterations 3", "", 6), ("", " max 1", 2)])
def test_the_number_of_rounds_is_bounded(notebook, options, maximum, calls):
    notebook.script(lambda body: judged(1) if "response_format" in body else "x")
    run = notebook.run(cell(options, maximum), product="lamps")
    assert (run.status, run.record.calls) == ("capped", calls)


def test_rounds_are_bounded_by_default(notebook):
    notebook.script(lambda body: judged(1) if "response_format" in body else "x")
    assert notebook.run(cell(maximum=""), product="lamps").record.calls == 16


def test_a_budget_that_ends_the_run_in_the_middle_leaves_the_best_so_far(notebook):
    notebook.script("one", judged(5), "two", judged(7), "three", judged(6))
    run = notebook.run(cell(" --max-steps 9"), product="lamps")
    assert (run.status, run.output) == ("capped", "two")
    assert notebook.run(cell(" --max-steps 1"), product="lamps").status == "capped"


def test_the_first_draft_is_the_partial_result_before_any_round_has_ended(notebook):
    notebook.script("one", judged(5))
    run = notebook.run(cell(" --max-steps 2"), product="lamps")
    assert (run.status, run.output) == ("capped", "one")


def test_each_step_may_have_its_own_model(notebook):
    judge = install(Script([judged(9)]), "judge")
    notebook.script("one")
    run = notebook.run(cell().replace("evaluate ->", "evaluate(model=scripted/judge) ->"), product="lamps")
    remove("judge")
    assert (run.output, len(judge.requests), len(notebook.scripted.requests)) == ("one", 1, 1)


def test_a_prompt_that_does_not_read_the_criticism_is_told_it(notebook):
    notebook.script("one", judged(5, "shorter"), "two", judged(9))
    run = notebook.run(
        "%%refine --no-cache\ngenerate\n    A tagline for {{ product }}\nevaluate -> score: int, feedback: str\n"
        "    Score {{ generate }}\nuntil evaluate.score >= 8\n",
        product="lamps",
    )
    assert run.output == "two"
    assert notebook.prompts[0] == "A tagline for lamps"
    assert notebook.prompts[2].startswith("A tagline for lamps\n\nYour last answer:\none\n")
    assert '"feedback":"shorter"' in notebook.prompts[2]


@pytest.mark.parametrize("line", ["", "evaluate\n", "evaluate(temperature=0)\n"])
def test_evaluate_has_a_good_default_prompt_and_output(notebook, line):
    notebook.script("one", judged(9))
    run = notebook.run(
        f"%%refine\ngenerate\n    A tagline for {{{{ product }}}}\n{line}until evaluate.score >= 8\n", product="lamps"
    )
    assert run.output == "one"
    assert notebook.prompts[1] == "Task:\nA tagline for lamps\n\nAnswer:\none"
    assert "from 0" in notebook.scripted.requests[1]["messages"][0]["content"]


class Draft(BaseModel):
    title: str
    words: int


def test_the_result_has_the_type_of_generate(notebook):
    notebook.script({"title": "a", "words": 3}, {"score": 9})
    run = notebook.run(
        "%%refine\ngenerate -> Draft\n    Write\nevaluate -> score: float\n    Score {{ generate.title }}\n"
        "until evaluate.score > 8\n",
        Draft=Draft,
    )
    assert run.output == Draft(title="a", words=3)
    assert run.best.words == 3


class Verdict(BaseModel):
    good: bool
    grade: int


@pytest.mark.parametrize(
    ("output", "reply", "until"),
    [
        ("why: str, good: bool, grade: int", {"why": "w", "good": False, "grade": 9}, "evaluate.grade > 8"),
        ("hits: int, score: float", {"hits": 2, "score": 9}, "evaluate.hits == 2"),
        ("float", {"value": 9}, "evaluate > 8"),
        ("Verdict", {"good": True, "grade": 9}, "evaluate.good"),
        ("5 | 9", {"value": 9}, "evaluate > 8"),
    ],
)
def test_the_score_is_what_is_called_score_or_else_the_first_number(notebook, output, reply, until):
    notebook.script("one", reply)
    run = notebook.run(
        f"%%refine\ngenerate\n    Write\nevaluate -> {output}\n    Score {{{{ generate }}}}\nuntil {until}\n",
        Verdict=Verdict,
    )
    assert (run.status, run.rounds[0]["score"]) == ("done", 9)


@pytest.mark.parametrize("value", [0.9, {"score": 0.9, "feedback": "f"}])
def test_a_function_of_the_notebook_can_evaluate(notebook, value):
    notebook.script("one")
    until = "evaluate" if isinstance(value, float) else "evaluate['score']"
    run = notebook.run(
        f"%%refine\ngenerate\n    Write\nevaluate = rate(generate)\nuntil {until} > 0.5\n", rate=lambda text: value
    )
    assert (run.output, run.rounds[0]["score"], run.record.calls) == ("one", 0.9, 1)


def test_both_steps_may_be_other_orchestrations(notebook):
    notebook.space["draft"] = notebook.define("%%chain draft\nwrite -> title: str\n    Write about {{ topic }}\n")
    notebook.space["judge"] = notebook.define("%%chain judge\nlook -> score: int\n    Score {{ generate.title }}\n")
    notebook.script({"title": "a"}, {"score": 9})
    run = notebook.run("%%refine\ngenerate(run=draft)\nevaluate(run=judge)\nuntil evaluate.score > 8\n", topic="bees")
    assert (run.status, run.output, rounds(run)) == ("done", {"title": "a"}, [(1, 9, True, {"title": "a"})])
    assert notebook.prompts == ["Write about bees", "Score a"]


def test_steps_between_run_in_every_round(notebook):
    notebook.script("bad", {"score": 1}, "good", {"score": 9})
    run = notebook.run(
        "%%refine --no-cache\nhint = topic.upper()\ngenerate\n    Write about {{ hint }}\ntests = check(generate)\n"
        "evaluate -> score: float\n    Score {{ generate }} with tests {{ tests }}\nuntil evaluate.score > 8\n",
        topic="bees",
        check=lambda text: f"{text} checked",
    )
    assert (run.output, run.tests) == ("good", "good checked")
    assert notebook.prompts[3] == "Score good with tests good checked"
    assert [s.name for s in run.record.steps].count("hint") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("generate\n    x\nevaluate -> score: float\n    y\n", "no `until` line"),
        ("evaluate -> score: float\n    y\nuntil evaluate.score > 2\n", "no step 'generate'"),
        ("generate\n    x\nrounds = 1\nuntil evaluate.score > 2\n", "'rounds' is a name of %%refine itself"),
        ("evaluate -> score: int\n    x\ngenerate\n    y\nuntil evaluate.score > 2\n", "not the last step"),
        ("generate\n    x\nuntil evaluate.scor > 2\n", "no output 'scor'"),
        ("generate\n    x\nuntil evaluate.score > 2\nuntil evaluate.score > 3\n", "a second `until`"),
        ("generate\n    x\nevaluate(over=a)\nuntil evaluate.score > 2\n", "`over=` of `evaluate`"),
        ("generate\n    x\ngate True\nuntil evaluate.score > 2\n", "no `gate` line"),
        ("generate\n    x\nevaluate -> Nothing\n    y\nuntil evaluate.score > 2\n", "'Nothing'"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, text, told):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%refine\n{text}")
    assert [p for p in caught.value.problems if told in p.found]
    assert all(p.write for p in caught.value.problems)


def test_the_example_runs(notebook):
    notebook.script("one", judged(9))
    run = notebook.run(PATTERNS.get("refine").example, product="lamps")
    assert (run.status, run.output) == ("done", "one")


def test_without_a_number_a_round_counts_by_whether_it_is_good_enough(notebook):
    notebook.script("flat", {"grade": "dull"}, "sharp", {"grade": "funny"})
    cell = '%%refine\ngenerate\n    A joke\nevaluate -> grade: "funny" | "dull"\n    {{ generate }}\nuntil evaluate.grade == "funny" max 3\n'
    run = notebook.run(cell)
    assert (run.status, run.output) == ("done", "sharp")
    assert [r["score"] for r in run.rounds] == [0, 1]
