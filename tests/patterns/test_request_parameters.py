"""Options of a step that go into the body of its requests: temperature, top_p, seed, stop, reasoning_effort."""

import pytest

from orchmagic import Reply
from orchmagic.errors import CellError
from orchmagic.models.types import ToolCall

OPTIONS = 'temperature=0.5, top_p=0.9, seed=7, stop=["END", "."], reasoning_effort=low'
BODY = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END", "."], "reasoning_effort": "low"}


def look(what: str) -> str:
    """Look something up."""
    return what


def sent(notebook, *names):
    return [{name: body[name] for name in names or BODY if name in body} for body in notebook.scripted.requests]


def test_they_go_from_the_cell_into_the_body_of_the_request(notebook):
    notebook.script("a", "b")
    notebook.run(f"%%chain\nfirst({OPTIONS})\n    Hi\nsecond\n    Ho\n")
    assert sent(notebook) == [BODY, {}]


def test_one_text_stops_a_reply_too(notebook):
    notebook.script("a")
    notebook.run('%%chain\nx(stop="END")\n    Hi\n')
    assert sent(notebook) == [{"stop": ["END"]}]


def test_a_step_gives_its_request_json(notebook):
    step = notebook.define(f"%%chain\nx({OPTIONS})\n    Hi\n").definition.nodes[0]
    assert step.request_parameters == BODY  # lists, as JSON has them, not the tuples of a frozen step


def test_every_item_and_every_reask_carries_them(notebook):
    notebook.script("no number", '{"value": 1}', '{"value": 2}')
    notebook.run(f"%%chain --concurrency 1\nx(over=[1, 2], {OPTIONS}) -> int\n    Hi {{{{ item }}}}\n")
    assert sent(notebook) == [BODY] * 3


def test_every_vote_carries_them(notebook):
    notebook.script('{"value": true}', '{"value": true}', '{"value": false}')
    notebook.run("%%parallel\nx(votes=3, top_p=0.9, reasoning_effort=high) -> bool\n    Hi\n")
    assert sent(notebook) == [{"top_p": 0.9, "reasoning_effort": "high"}] * 3


def test_votes_of_one_seed_would_all_be_one_vote(notebook):
    with pytest.raises(
        CellError, match=r"seed= beside votes=, so that all votes may be the same answer. Leave seed= out"
    ):
        notebook.define("%%parallel\nx(votes=3, seed=1) -> bool\n    Hi\n")


def test_the_turns_of_an_agent_carry_them(notebook):
    notebook.space["look"] = look
    act = Reply("", tool_calls=[ToolCall("c", "look", '{"what": "x"}')])
    choose = ['{"next": "finder", "task": "t", "answer": ""}', '{"next": "finish", "task": "", "answer": "done"}']
    notebook.script(choose[0], act, "found", choose[1])
    notebook.run(f"%%team\nsupervisor\n    Goal\nfinder(tools=look, {OPTIONS}): finds\n    You find.\n")
    assert sent(notebook) == [{}, BODY, BODY, {}]


def test_the_turns_of_react_carry_those_of_its_magic_line(notebook):
    notebook.space["look"] = look
    notebook.script(Reply("", tool_calls=[ToolCall("c", "look", '{"what": "x"}')]), "found")
    line = """--temperature 0.5 --top-p 0.9 --seed 7 --stop '["END", "."]' --reasoning-effort low"""
    notebook.run(f"%%react --tools look {line}\nFind it.\n")
    assert sent(notebook) == [BODY, BODY]


def test_the_magic_line_needs_no_second_quotes(notebook):
    notebook.space["look"] = look
    notebook.script("found")
    notebook.run("%%react --tools look --stop END\nFind it.\n")
    assert sent(notebook) == [{"stop": ["END"]}]


def test_a_changed_parameter_is_another_question_to_the_cache(notebook):
    notebook.script(lambda body: f"seed {body.get('seed')}")
    cell = "%%chain --cache 1d\nx(seed={})\n    Hi\n"
    assert [notebook.run(cell.format(seed)).output for seed in (1, 2, 1)] == ["seed 1", "seed 2", "seed 1"]
    assert len(notebook.scripted.requests) == 2


@pytest.mark.parametrize(
    ("option", "write"),
    [
        ("temperature=-1", "a number: temperature=0.2"),
        ("top_p=1.5", "a number from 0 to 1: top_p=0.9"),
        ("top_p=True", "a number from 0 to 1"),
        ("seed=1.5", "a whole number: seed=7"),
        ("seed=-1", "a whole number"),
        ("stop=END", 'a quoted text, or a list of at most 4: stop="END"'),
        ("stop=[]", "a quoted text"),
        ('stop=""', "a quoted text"),
        ('stop=["a", 1]', "a quoted text"),
        ('stop=["a", "b", "c", "d", "e"]', "a list of at most 4"),
        ("reasoning_effort=huge", "none, minimal, low, medium or high: reasoning_effort=low"),
        ("reasoning_effort=3", "none, minimal, low, medium or high"),
    ],
)
def test_a_bad_value_is_one_line_that_says_what_to_write(notebook, option, write):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%chain\nx({option})\n    Hi\n")
    (problem,) = caught.value.problems
    assert problem.found == f"{option} cannot be read"
    assert write in problem.write


@pytest.mark.parametrize("given", ["--top-p 2", "--seed x", "--reasoning-effort huge", "--temperature hot"])
def test_a_bad_value_on_the_magic_line_as_well(notebook, given):
    notebook.space["look"] = look
    with pytest.raises(CellError, match=rf"{given.split(' ', maxsplit=1)[0]} '\w+' cannot be read"):
        notebook.define(f"%%react --tools look {given}\nFind it.\n")
