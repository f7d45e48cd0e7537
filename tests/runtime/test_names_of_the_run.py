"""`messages`, `errors` and `visits` are the run's where the cell has such a thing, and the notebook's elsewhere."""

import pytest

from orchmagic.errors import InputError

MESSAGES = [{"role": "user", "content": "Where is my order?"}]
SAID = '[{"role":"user","content":"Where is my order?"}]'
SPACE = {"messages": MESSAGES, "errors": ["disk full", "no route"], "visits": 3, "names": ["Ada"]}
INNER = "%%chain inner\na\n    {{ messages }} {{ errors[0] }} {{ visits }}\n"
VARIABLES = [
    ("%%chain\na\n    {{ messages }}\n", [SAID]),
    ("%%chain\na(over=messages, item=m)\n    {{ m.content }}\n", ["Where is my order?"]),
    ("%%chain\na(over=errors, item=e)\n    {{ e }}\n", ["disk full", "no route"]),
    ("%%chain\na(over=errors, item=e)\n    {{ e }}\nb\n    {{ a }}\n", ["disk full", "no route", '["!","!"]']),
    ("%%chain\na\n    {{ errors[0] }}\nb(over=names)\n    {{ item }}\n", ["disk full", "Ada"]),
    ("%%chain\na\n    {{ visits }}\n", ["3"]),
    ("%%chain\nx = visits + 1\na\n    {{ x }}\n", ["4"]),
    ("%%chain\na(when=visits > 3)\n    x\nb\n    {{ errors | length }}\n", ["2"]),
    ("%%chain\na\n    x\ngate visits > 2\nb\n    y\n", ["x", "y"]),
    ("%%parallel\na\n    {{ errors[0] }}\nb\n    {{ errors[1] }}\n", ["disk full", "no route"]),
    ("%%refine\ngenerate\n    {{ messages[0].role }}\nuntil evaluate > len(errors)\nevaluate = 9\n", ["user"]),
    ("%%chain\na = inner()\n", [f"{SAID} disk full 3"]),
    ("%%chain\na = inner(visits=4)\nb(over=names)\n    {{ item }}\n", [f"{SAID} disk full 4", "Ada"]),
]
OF_THE_RUN = [
    ("%%chain\na\n    x\ncount = visits['a']\ngate count > 1 else goto a\n", ["x", "x"]),
    ("%%parallel\nboth\n    x\nlost = names[5]\nmerge\n    {{ errors.keys() | list }}\n", ["x", '["lost"]']),
    ("%%chain\na(over=names)\n    {{ item }}\nb\n    {{ errors.a }}\n", ["Ada", "{}"]),
]


@pytest.fixture
def book(notebook):
    notebook.space.update(SPACE)
    notebook.space["inner"] = notebook.define(INNER)
    notebook.script(lambda body: "!")
    return notebook


@pytest.mark.parametrize(("cell", "prompts"), VARIABLES + OF_THE_RUN)
def test_a_variable_of_such_a_name_is_read_where_the_run_has_no_such_thing(book, cell, prompts):
    run = book.run(cell)
    assert run.status == "done", run.reason
    assert sorted(book.prompts) == sorted(prompts)


@pytest.mark.parametrize(("cell", "prompts"), VARIABLES + OF_THE_RUN)
def test_a_variable_that_the_run_hides_is_said_once(book, cell, prompts):
    book.run(cell)
    told = [line for line in book.said if "is the run's own here, not the variable" in line]
    assert len(told) == ((cell, prompts) in OF_THE_RUN)


def test_an_agent_keeps_its_own_messages(book):
    book.space["look"] = look
    run = book.run("%%react --tools look\nFind {{ names[0] }}.\n")
    assert run["messages"] == [{"role": "assistant", "content": "!"}]
    assert book.prompts == ["Find Ada."]


def look(word: str) -> str:
    """Looks it up."""
    return word


def test_a_loop_counts_and_a_failed_item_is_told_though_variables_have_these_names(book):
    """The run's own counts and errors go on under other keys: the loop ends, and its reason names what failed."""
    cell = (
        "%%chain --max-iterations 2\na(over=errors, item=e)\n    {{ e }}\nb\n    {{ names }}\ngate False else goto b\n"
    )
    run = book.run(cell)
    assert (run.status, book.prompts.count('["Ada"]')) == ("capped", 2)


@pytest.mark.parametrize("name", ["messages", "errors"])
def test_without_such_a_thing_and_without_a_variable_the_value_is_asked_for(notebook, name):
    made = notebook.define(f"%%chain\na\n    {{{{ {name} }}}}\n")
    with pytest.raises(InputError, match=name):
        made()


def test_what_is_passed_is_read_and_a_waiting_run_goes_on_with_it(book):
    made = book.define(
        '%%chain\na\n    {{ messages }} {{ errors }}\napprove "Send {{ visits }}?"\nb\n    {{ messages }}\n'
    )
    run = made(messages="m", errors="e", visits=7)
    assert (run.status, book.prompts) == ("waiting", ["m e"])
    assert str(run.waiting.question) == "Send 7?"
    assert run.approve().status == "done"
    assert book.prompts == ["m e", "m"]
