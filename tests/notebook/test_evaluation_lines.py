"""`%orch runs` lists evaluations below the runs: their rows are not runs of the history."""

import pytest
from lives import bind

from orchmagic import evaluate
from orchmagic.notebook import commands

CELL = "%%chain {}\nsay\n    {{{{ q }}}}\n"


@pytest.mark.parametrize(("target", "says"), [(None, ""), ("right >= 0.5", ": target a meets")])
def test_an_evaluation_is_one_line_below_the_runs(notebook, target, says):
    notebook.script(lambda body: "x")
    made = bind(notebook, CELL.format("a"))
    assert str(commands.run(notebook.session, "runs")) == "No run yet: run a cell such as %%chain."
    evaluate(made, on=[{"q": str(n)} for n in range(20)], metrics={"right": "output == 'x'"}, target=target)
    listed = commands.run(notebook.session, "runs")
    head, line = str(listed).splitlines()
    assert head.startswith("run")
    assert line.startswith("Evaluation of a, 20")
    assert line.endswith(f", 20 rows{says}")
    assert line in listed._repr_html_()
    assert str(commands.run(notebook.session, "runs b")) == "No run of 'b' yet: run a cell such as %%chain."


def test_the_latest_five_are_listed(notebook):
    notebook.script(lambda body: "x")
    for n in range(6):
        made = bind(notebook, CELL.format(f"c{n}"))
        evaluate(made, on=[{"q": "1"}], metrics={"right": "output == 'x'"})
    made(q="2")
    lines = str(commands.run(notebook.session, "runs")).splitlines()
    assert [line.split()[2] for line in lines if line.startswith("Evaluation")] == [f"c{n}," for n in range(1, 6)]
    assert len(lines) == 2 + 5
