"""Rules on evaluations: each fires on what was stored by `evaluate`, and not where the evaluation is in order."""

import json

import pytest
from lives import bind

from orchmagic import evaluate
from orchmagic.evaluation import evaluate_cell
from orchmagic.evaluation.evaluate import Evaluation
from orchmagic.lint import of_session
from orchmagic.lint.linter import lint

CELL = """%%chain triage
router -> team: "billing" | "tech"
    Ticket {{ ticket }}
"""
JUDGED = """kind{} -> good: bool
    Kind? {{{{ output }}}}
"""


def answer(body):
    asked = body["messages"][-1]["content"]
    return json.dumps({"good": True} if "Kind" in asked else {"team": "billing"})


def rows_of(right, wrong):
    return [{"ticket": f"t{i}", "team": "billing" if i < right else "tech", "good": True} for i in range(right + wrong)]


@pytest.fixture
def book(notebook):
    notebook.script(answer)
    return notebook


def found(book, made, rule):
    return [str(f) for f in lint(of_session.subject(book.session, made)).findings if f.rule == rule]


def test_a_cell_with_runs_and_no_evaluation(book):
    made = bind(book, CELL)
    for n in range(20):
        assert not found(book, made, "OM301") or n == 20
        made(ticket=f"t{n}")
    [said] = found(book, made, "OM301")
    assert "20 runs on different inputs and no evaluation" in said
    assert 'orchmagic.rows("triage")' in said
    evaluate(made, on=rows_of(2, 0), metrics={"right": "router.team == team"})
    assert not found(book, made, "OM301")


def test_a_cell_that_was_changed_since_its_evaluation(book):
    made = bind(book, CELL)
    assert not found(book, made, "OM302")
    evaluate(made, on=rows_of(3, 0), metrics={"right": "router.team == team"})
    assert not found(book, made, "OM302")
    changed = bind(book, CELL.replace("Ticket", "The ticket"))
    [said] = found(book, changed, "OM302")
    assert "on 3 rows" in said
    assert "Run %%evaluate triage again" in said


@pytest.mark.parametrize(
    ("right", "wrong", "target", "says"),
    [
        (9, 1, "right >= 0.8", "10 rows do not decide right >= 0.8. Add about"),
        (40, 0, "right >= 0.8", None),  # meets
        (0, 20, "right >= 0.8", None),  # misses
        (9, 1, None, None),
    ],
)
def test_rows_that_do_not_decide_the_target(book, right, wrong, target, says):
    made = bind(book, CELL)
    evaluate(made, on=rows_of(right, wrong), metrics={"right": "router.team == team"}, target=target)
    said = found(book, made, "OM303")
    assert [says in s for s in said] == [True] * bool(says)


@pytest.mark.parametrize(
    ("human", "rows", "says"),
    [
        ("", 25, "'kind' of its evaluation has 0 labels"),
        ("(human=good)", 19, "has 19 labels"),
        ("(human=good)", 20, ""),
    ],
)
def test_a_judge_with_few_labels(book, human, rows, says):
    made = bind(book, CELL)
    book.space["rows"] = rows_of(rows, 0)
    cell = evaluate_cell.read_cell("triage --on rows", JUDGED.format(human), book.space, book.session.find)
    Evaluation(cell.setup).run()
    said = found(book, made, "OM304")
    assert [says in s for s in said] == [True] * bool(says)


def test_rows_that_were_looked_at_often(book):
    for n in range(11):
        made = bind(book, CELL.replace("Ticket", f"Ticket in words {n}"))
        evaluate(made, on=rows_of(3, 0)[:: 1 if n % 2 else -1], metrics={"right": "router.team == team"})
        assert bool(found(book, made, "OM305")) == (n == 10)
    assert "11 versions were evaluated on the same 3 rows" in found(book, made, "OM305")[0]
    evaluate(made, on=rows_of(4, 0), metrics={"right": "router.team == team"})
    assert not found(book, made, "OM305")


def test_an_evaluation_without_answers_is_none(book):
    made = bind(book, CELL)

    def silent(body):
        raise TimeoutError

    book.script(silent)
    evaluate(made, on=rows_of(2, 0), metrics={"right": "router.team == team"})
    assert not of_session.subject(book.session, made).evaluations
