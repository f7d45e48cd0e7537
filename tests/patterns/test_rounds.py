"""--max-iterations N: a loop of any pattern has at most N rounds."""

import json

import pytest

from orchmagic import Reply
from orchmagic.models.types import ToolCall

# pattern -> (cell, how a prompt of one round begins)
LOOPS = {
    "chain": ("%%chain t{}\na\n    Round {{ q }}\ngate False else goto a\n", "Round"),

    "react": ("%%react t --tools look{}\nRound {{ q }}\n", "Round"),
    "an agent in a team": ("%%team t{}\nsupervisor\n    Goal {{ q }}\none(tools=look): x\n    Round\n", "Round"),
    "team": ("%%team t{}\nsupervisor\n    Goal {{ q }}\none: x\n    Round\n", "Round"),
    "plan": (
        ("%%plan t{}\nplan -> steps: list[str]\n    Round {{ q }}\nexecute\n    Do {{ step }}\n"
        "reflect -> ok: bool, feedback: str\n    Right? {{ results }}\n"), "Round",
    ),
    "refine": (
        ("%%refine t{}\ngenerate\n    Round {{ q }}\nevaluate -> score: float, feedback: str\n"
        "    Score {{ generate }}\nuntil evaluate.score >= 8\n"), "Round",
    ),
    "cascade": ("%%cascade t --models scripted,scripted,scripted,scripted,scripted{}\nanswer\n    Round {{ q }}\nverify False\n", "Round"),
    "mapreduce": ("%%mapreduce t --over q --chunk 60 --overlap 0{}\nmap\n    Read {{ chunk }}\nreduce\n    Round {{ parts }}\n", "Round"),
}  # fmt: skip


def never_content(body):
    """Calls its tool, asks for another round, and is never right."""
    said, fields = body["messages"], body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if body.get("tools"):
        return Reply("", tool_calls=[ToolCall(f"c{len(said)}", "look", json.dumps({"what": str(len(said))}))])
    wanted = fields.get("properties", {})
    values = {"steps": ["one"], "ok": False, "feedback": "no", "score": 1.0, "next": "one", "task": f"t{len(said)}"}
    return json.dumps({name: values.get(name, "") for name in wanted}) if wanted else "word " * 40


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("pattern", LOOPS)
def test_a_loop_has_as_many_rounds_as_max_iterations_says(notebook, pattern, rounds):
    def look(what: str) -> str:
        return what

    cell, begins = LOOPS[pattern]
    notebook.script(never_content)
    options = f" --no-cache --max-steps 200 --max-iterations {rounds}"
    run = notebook.run(cell.replace("{}", options), q="x. " * 600, look=look)
    assert run.status in {"capped", "done"}, run.error
    made = [s for s in run.record.spans if s.kind in {"call", "sub"} and begins in json.dumps(s.input)]
    if pattern == "mapreduce":
        visits = {s.id for s in run.record.steps if s.name == "reduce"}
        assert len(visits) == rounds
    elif pattern == "an agent in a team":
        assert len([s for s in made if s.id.startswith("one#1/")]) == rounds
    else:
        assert len([s for s in made if "tool" in pattern or s.kind == "call"]) == rounds


def test_an_own_option_of_a_pattern_wins(notebook):
    notebook.script(never_content)
    team = LOOPS["team"][0].replace("{}", " --no-cache --max-iterations 2 --max-turns 4 --max-steps 200")
    assert sum(s.name == "one" for s in notebook.run(team, q="x").record.steps) == 4
    plan = LOOPS["plan"][0].replace("{}", " --no-cache --max-iterations 3 --max-replans 0 --max-steps 200")
    assert sum(s.name == "plan" for s in notebook.run(plan, q="x").record.steps) == 1


def test_a_jump_ahead_is_no_round(notebook):
    notebook.script("first", "last")
    run = notebook.run("%%chain t --max-iterations 1\na\n    A\ngate False else goto c\nb\n    B\nc\n    C\n")
    assert (run.status, run.b, run.c) == ("done", None, "last")


def test_the_setting_counts_as_said(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_MAX_ITERATIONS": "2"})
    notebook.script(never_content)
    run = notebook.run(LOOPS["team"][0].replace("{}", " --no-cache"), q="x")
    assert sum(s.name == "one" for s in run.record.steps) == 2
