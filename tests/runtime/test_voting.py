"""votes=: the same question several times; what most say wins, and what that says is told."""

import pytest
from lives import spans

from orchmagic import Reply, Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove

TOXIC = '%%parallel{line}\ntoxic(votes={votes}, by=label{more}) -> label: "ok" | "toxic", why: str\n    Is it? {{{{ post }}}}\n'


def cell(votes=3, more="", line=""):
    return TOXIC.format(votes=votes, more=more, line=line)


def said(*labels):
    return [{"label": x, "why": f"because {i}"} for i, x in enumerate(labels)]


@pytest.fixture
def large():
    yield install(Script([{"label": "toxic", "why": "judged"}]), "large")
    remove("large")


def test_what_most_votes_say_wins(notebook):
    notebook.script(*said("ok", "toxic", "toxic"))
    run = notebook.run(cell(), post="p")
    found = run.output
    assert (found.label, found.why, found.tie, found.decided) == ("toxic", "because 1", False, True)
    assert found.agreement == pytest.approx(2 / 3)
    assert [d["label"] for d in found.dissent] == ["ok"]
    assert spans(run, "vote") == ["toxic#1/v1", "toxic#1/v2", "toxic#1/v3"]


def test_on_a_tie_the_value_that_was_voted_first_wins(notebook):
    notebook.script(*said("toxic", "ok", "ok", "toxic"))
    found = notebook.run(cell(4), post="p").output
    assert (found.label, found.tie, found.agreement) == ("toxic", True, 0.5)


def test_too_little_agreement_is_told_and_nobody_decides(notebook):
    notebook.script(*said("ok", "toxic", "toxic"))
    run = notebook.run(cell(more=", min=0.9"), post="p")
    assert (run.output.label, run.output.decided) == ("toxic", False)
    assert "less than 0.9" in str(run.record.steps[0].why[0])


def test_too_little_agreement_is_decided_by_the_fallback_model(notebook, large):
    notebook.script(*said("ok", "ok", "toxic"))
    run = notebook.run(cell(more=", min=0.9, fallback=scripted/large"), post="p")
    assert (run.output.label, run.output.why, run.output.decided) == ("toxic", "judged", True)
    assert (len(notebook.scripted.requests), len(large.requests)) == (3, 1)
    assert "scripted/large decides" in str(run.record.steps[0].why[0])


def test_enough_agreement_asks_no_fallback(notebook, large):
    notebook.script(*said("ok", "ok", "toxic"))
    run = notebook.run(cell(more=", min=0.6, fallback=scripted/large"), post="p")
    assert (run.output.label, run.output.decided, large.requests) == ("ok", True, [])


def test_a_fallback_that_fails_fails_the_step_with_its_reason(notebook, large):
    install(Script(lambda _: Reply(fault="400")), "large")
    notebook.script(*said("ok", "ok", "toxic"))
    run = notebook.run(cell(more=", min=0.9, fallback=scripted/large"), post="p")
    assert run.status == "failed"
    assert "400" in run.error


def test_votes_that_fail_agree_with_nobody(notebook):
    notebook.script({"label": "ok", "why": ""}, Reply(fault="400"), {"label": "ok", "why": ""})
    run = notebook.run(cell(), post="p")
    assert (run.status, run.output.label) == ("done", "ok")
    assert run.output.agreement == pytest.approx(2 / 3)
    assert sorted(s.status for s in run.record.spans if s.kind == "vote") == ["done", "done", "failed"]


def test_a_step_whose_votes_all_fail_fails(notebook):
    notebook.script(lambda _: Reply(fault="400"))
    run = notebook.run(cell(), post="p")
    assert run.status == "failed"
    assert run.record.calls == 0 or "400" in run.error


def test_each_vote_has_an_answer_of_its_own_and_keeps_it(notebook):
    notebook.script(*said("ok", "toxic", "toxic"))
    first = notebook.run(cell(), post="p")
    second = notebook.run(cell(), post="p")
    assert len(notebook.scripted.requests) == 3
    assert (second.record.calls, second.record.cached) == (0, 3)
    assert second.output.model_dump() == first.output.model_dump()
    assert [d["label"] for d in second.output.dissent] == ["ok"]


def test_two_more_votes_are_two_more_calls(notebook):
    notebook.script(*said("ok", "ok", "ok", "toxic", "toxic"))
    notebook.run(cell(3), post="p")
    assert notebook.run(cell(5), post="p").output.agreement == pytest.approx(3 / 5)
    assert len(notebook.scripted.requests) == 5


def test_texts_are_compared_without_case_and_spaces(notebook):
    notebook.script("Paris", "Lyon", " paris ")
    found = notebook.run("%%parallel\ntown(votes=3)\n    Capital of {{ land }}?\n", land="France").output
    assert (found.value, found.dissent) == ("Paris", ["Lyon"])
    assert found.agreement == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("output", "votes", "value"),
    [
        ("bool", [True, False, True], True),
        ("int", [3, 4, 4], 4),
        ("list[str]", [["a"], ["b"], ["a"]], ["a"]),
        ('"x" | "y"', ["x", "y", "y"], "y"),
    ],
)
def test_other_types_vote_too(notebook, output, votes, value):
    notebook.script(*[{"value": v} for v in votes])
    run = notebook.run(f"%%parallel\nx(votes=3) -> {output}\n    Q {{{{ q }}}}\n", q="?")
    assert run.output.value == value


def test_a_whole_record_is_compared_when_no_field_is_named(notebook):
    both = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}]
    notebook.script(*both)
    run = notebook.run("%%parallel\nx(votes=3, by=b) -> a: int, b: int\n    Q {{ q }}\n", q="?")
    assert (run.output.a, run.output.b) == (1, 2)


def test_the_outcome_is_read_by_other_steps(notebook):
    notebook.script(*said("ok", "toxic", "toxic"), "sorry")
    run = notebook.run(
        '%%chain\ntoxic(votes=3, by=label) -> label: "ok" | "toxic", why: str\n    Is it? {{ post }}\n'
        "gate toxic.agreement > 0.5\nreply\n    {{ toxic.label }} {{ toxic.dissent }}\n",
        post="p",
    )
    assert run.output == "sorry"
    assert notebook.prompts[-1].startswith("toxic [")


def test_each_item_has_its_own_vote(notebook):
    notebook.script(lambda body: {"label": "ok" if "good" in body["messages"][-1]["content"] else "toxic", "why": ""})
    run = notebook.run(
        '%%chain\nt(over=posts, votes=3, by=label) -> label: "ok" | "toxic", why: str\n    Is it? {{ item }}\n',
        posts=["good", "bad"],
    )
    assert [v.label for v in run.output] == ["ok", "toxic"]
    assert "t#1/2/v3" in spans(run, "vote")
    assert len(notebook.scripted.requests) == 6


def test_a_vote_that_does_not_fit_is_asked_again_by_itself(notebook):
    notebook.script(lambda body: {"label": "huh", "why": ""} if len(body["messages"]) == 1 else said("ok")[0])
    run = notebook.run(cell(2), post="p")
    assert (run.output.agreement, len(notebook.scripted.requests)) == (1.0, 4)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x(votes=1) -> a: str", "votes=1 cannot be read"),
        ("x(votes=0) -> a: str", "votes=0 cannot be read"),
        ("x(votes=2.5) -> a: str", "votes=2.5 cannot be read"),
        ("x(votes=3, by=b) -> a: str", "by=b is no output of 'x'"),
        ("x(votes=3, by=a) -> str", "it has one value, so leave by= out"),
        ("x(votes=3, min=2) -> a: str", "min=2 cannot be read"),
        ("x(by=a) -> a: str", "by= needs votes="),
        ("x(min=0.5) -> a: str", "min= needs votes="),
    ],
)
def test_a_wrong_vote_is_one_clear_line(notebook, line, told):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%chain\n{line}\n    Hi\n")
    assert told in str(caught.value)
