"""The six workflows of LangGraph's tutorial as cells: what each asks and gives, and that the page counts them rightly."""

import importlib.util
import sys
from pathlib import Path

import pytest

from orchmagic import Reply

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial-workflows.md"


def counter():
    spec = importlib.util.spec_from_file_location("tutorial_lines", ROOT / "benchmarks" / "tutorial" / "lines.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LINES = counter()


def play(notebook, workflow, *replies):
    """Run the cells of a workflow in a notebook; the run of its orchestration."""
    notebook.script(*replies)
    notebook.space["topic"] = "cats"
    run = None
    for cell in LINES.cells(workflow):
        if cell.startswith("%%"):
            made = notebook.define(cell)
            notebook.space[made.__name__] = made
            run = made()
        else:
            exec(cell, notebook.space)
    return run


def test_a_joke_without_a_punchline_is_improved_twice(notebook):
    run = play(notebook, "chaining", "A cat sat.", "A cat sat on a pun.", "It was a dog.")
    assert (run.status, run.output) == ("done", "It was a dog.")
    assert notebook.prompts == [
        "Write a short joke about cats",
        "Make this joke funnier by adding wordplay: A cat sat.",
        "Add a surprising twist to this joke: A cat sat on a pun.",
    ]


def test_a_joke_with_a_punchline_is_left_alone(notebook):
    run = play(notebook, "chaining", "A cat? Never!")
    assert (run.status, run.output, len(notebook.prompts)) == ("done", "A cat? Never!", 1)


def test_three_texts_are_written_side_by_side_and_joined(notebook):
    by_prompt = {"joke": "J", "story": "S", "poem": "P"}
    run = play(notebook, "parallelization", lambda body: by_prompt[body["messages"][-1]["content"].split()[2]])
    assert run.output == "Here's a story, joke, and poem about cats!\n\nSTORY:\nS\n\nJOKE:\nJ\n\nPOEM:\nP"
    assert sorted(notebook.prompts) == [f"Write a {what} about cats" for what in ("joke", "poem", "story")]


@pytest.mark.parametrize("kind", ["story", "joke", "poem"])
def test_the_request_goes_to_the_one_handler_that_fits(notebook, kind):
    run = play(notebook, "routing", {"label": kind}, "Meow.")
    assert (run.output, run[kind], len(notebook.prompts)) == ("Meow.", "Meow.", 2)
    assert notebook.prompts[1] == "Write me a joke about cats"


def test_the_planner_decides_how_many_workers_there_are(notebook):
    sections = [{"name": f"N{i}", "description": f"D{i}"} for i in range(3)]

    def answer(body):
        text = body["messages"][-1]["content"]
        return {"steps": sections} if "Generate a plan" in text else f"about {text.split('name: ')[1].split()[0]}"

    play(notebook, "orchestrator", answer)
    assert notebook.space["report"] == "about N0\n\n---\n\nabout N1\n\n---\n\nabout N2"
    assert len(notebook.prompts) == 4
    assert "section name: N1 and description: D1" in notebook.prompts[2]


def test_a_joke_is_written_again_with_the_feedback_until_it_is_good(notebook):
    grades = ({"score": 3, "feedback": "more cats"}, {"score": 9, "feedback": ""})
    run = play(notebook, "evaluator", "One cat.", grades[0], "Two cats.", grades[1])
    assert (run.status, run.output, len(notebook.prompts)) == ("done", "Two cats.", 4)
    assert notebook.prompts[2] == "Write a joke about cats but take into account the feedback: more cats"


def test_a_grader_who_is_never_content_gets_the_best_of_five(notebook):
    def answer(body):
        graded = body["messages"][-1]["content"].partition("(funny): ")[2]
        return {"score": len(graded), "feedback": graded} if graded else next(jokes)

    jokes = iter(["a", "bbb", "cc", "d", "ee"])
    run = play(notebook, "evaluator", answer)
    assert (run.status, run.output, len(notebook.prompts)) == ("capped", "bbb", 10)


def test_the_agent_calls_the_function_and_reads_what_it_returns(notebook):
    run = play(notebook, "agent", Reply(tool_calls=[("add", {"a": 3, "b": 4})]), "It is 7.")
    assert (run.output, len(notebook.prompts)) == ("It is 7.", 2)
    assert notebook.scripted.requests[1]["messages"][-1]["content"] == "7"


def test_a_line_counts_when_it_holds_code_or_a_prompt():
    assert LINES.lines("%%chain x\n# a comment\nstep\n    # a prompt\n\n    of two lines\n") == 4
    assert LINES.lines('"""Doc."""\n\ndef f():\n    """Two\n    lines."""\n    # why\n    return 1\n') == 2


def test_the_page_shows_the_numbers_of_the_cells():
    assert LINES.table() in PAGE.read_text(encoding="utf-8")
    assert all(ours > 0 for *_, ours in LINES.counts().values())


def test_the_readme_says_the_same_sums():
    graph, _, ours = map(sum, zip(*LINES.counts().values(), strict=True))
    assert f"[in {ours} lines instead of {graph}](docs/tutorial-workflows.md)" in (ROOT / "README.md").read_text(
        "utf-8"
    )
