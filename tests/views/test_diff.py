"""%orch diff: what two runs did differently, step by step."""

from orchmagic import Reply
from orchmagic.notebook import commands
from orchmagic.views.comparison.diff import lines

TWO = "%%chain two --no-cache\na\n    A {{ x }}\nb\n    B {{ a }}\n"


def told(first, second):
    return [str(line) for line in lines(first.record, second.record)]


def test_equal_runs_have_no_step_that_differs(notebook):
    notebook.script("one", "two")
    run = notebook.run(TWO, x="x")
    found = told(run, run.replay())
    assert found[0] == "r1 two (Done) → r2 two (Done)"
    assert found[1].endswith("calls 2 → 0, seconds " + found[1].rpartition("seconds ")[2])
    assert found[2:] == ["the same: a#1, b#1"]


def test_a_step_that_differs_is_shown_with_what_it_asked_and_gave(notebook):
    notebook.script("one", "two", "three")
    run = notebook.run(TWO, x="x")
    found = told(run, run.replay(from_step="b"))
    assert found[2:] == [
        "b#1", "  Reply", "    - two", "    + three", "the same: a#1", "output", "    - two", "    + three",
    ]  # fmt: skip


def test_changed_prompts_are_shown_by_line(notebook):
    notebook.script("one", "two", "eins", "zwei")
    found = told(notebook.run(TWO, x="x"), notebook.run(TWO, x="y"))
    assert found[2:9] == ["a#1", "  Prompt", "    - A x", "    + A y", "  Reply", "    - one", "    + eins"]


def test_a_step_of_one_run_alone_and_a_failure_are_named(notebook):
    notebook.script("one", "two", Reply(fault="400"))
    found = told(notebook.run(TWO, x="x"), notebook.run(TWO, x="y"))
    assert "a#1: Done → Failed" in found
    assert any(line.startswith("  error: none → ") for line in found)
    assert any(line.startswith("b#1: ") for line in found)


def test_a_long_difference_is_cut(notebook):
    notebook.script("\n".join(f"old {i}" for i in range(100)), "\n".join(f"new {i}" for i in range(100)))
    cell = "%%chain --no-cache\na\n    A {{ x }}\n"
    found = told(notebook.run(cell, x="x"), notebook.run(cell, x="x"))
    assert len(found) < 100
    assert any(line.endswith("more lines") for line in found)


def test_typed_values_and_odd_text_are_shown(notebook):
    notebook.script({"n": 1}, {"n": 2}, "odd \ud800", "even \x1b[31m")
    cell = "%%chain --no-cache\na -> n: int\n    A {{ x }}\n"
    found = told(notebook.run(cell, x="x"), notebook.run(cell, x="x"))
    assert '    -  "n": 1' in found
    text = "%%chain --no-cache\na\n    A {{ x }}\n"
    assert "odd" in str(told(notebook.run(text, x="x"), notebook.run(text, x="x")))


def test_items_and_other_patterns_are_compared_too(notebook):
    notebook.script(lambda b: b["messages"][-1]["content"])
    cell = "%%chain --no-cache\na(over=x)\n    A {{ item }}\n"
    found = told(notebook.run(cell, x=["p", "q"]), notebook.run(cell, x=["p", "r", "s"]))
    assert any("r" in line for line in found if line.startswith("    +"))
    other = notebook.run(TWO, x="x")
    assert "b#1: only in the second run" in told(notebook.session.runs[0], other)


def test_the_command_shows_the_lines(notebook):
    notebook.script("one", "two")
    notebook.run(TWO, x="x").replay()
    assert str(commands.run(notebook.session, "diff r1 r2")).startswith("r1 two (Done) → r2 two (Done)\n")
