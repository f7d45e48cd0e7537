"""`triage.step("extract")(…)`: a step of any kind runs alone, on the typed values of the steps that it reads."""

import dataclasses

import pytest
from lives import bind

from orchmagic.errors import InputError

TYPED = """\
%%chain c
extract -> product: str, count: int
    {{ q }}
name = extract.product.upper()
gate extract.count > 1
many(over=range(extract.count), item=i)
    {{ extract.product }} {{ i }}
maybe(when=extract.count > 5)
    {{ extract.product }}
approve "Send {{ extract.product }}?"
"""
VOTES = """\
%%chain c
kind(votes=3) -> label: "a" | "b"
    {{ q }}
sure = kind.label == "a"
"""
ITEMS = """\
%%chain c
each(over=qs, item=one) -> size: int
    {{ one }}
total = sum(x.size for x in each)
"""
DATA = """\
%%chain c
person -> Person
    {{ q }}
greeting = person.greet()
"""
INNER = """\
%%chain outer
found = inner(q=q)
short = found.product[:2]
"""
PERSON = """\
%%chain inner
extract -> product: str
    {{ q }}
"""
SOLVE = "%%cascade k --models scripted,scripted\nanswer\n    A {{ q }}\nverify judge >= 0.8\n"
EXTRACT = {"product": "lamp", "count": 2}


@dataclasses.dataclass
class Person:
    """A class of the notebook."""

    name: str

    def greet(self) -> str:
        return f"Hello {self.name}"


@pytest.fixture
def book(notebook):
    notebook.space.update(q="a question", qs=["x"], Person=Person)
    notebook.script(lambda body: f"said {body['messages'][-1]['content']}")
    return notebook


@pytest.mark.parametrize(
    ("cell", "step", "values", "output"),
    [
        (TYPED, "name", {"extract": EXTRACT}, "LAMP"),
        (TYPED, "gate_1", {"extract": EXTRACT}, True),
        (TYPED, "gate_1", {"extract": {**EXTRACT, "count": 1}}, False),
        (TYPED, "many", {"extract": EXTRACT}, ["said lamp 0", "said lamp 1"]),
        (TYPED, "maybe", {"extract": {**EXTRACT, "count": 6}}, "said lamp"),
        (TYPED, "maybe", {"extract": EXTRACT}, None),
        (VOTES, "sure", {"kind": {"label": "a"}}, True),
        (
            VOTES,
            "sure",
            {"kind": {"label": "b", "agreement": 0.9, "dissent": [], "tie": False, "decided": True}},
            False,
        ),
        (ITEMS, "total", {"each": [{"size": 2}, {"size": 3}]}, 5),
        (DATA, "greeting", {"person": {"name": "Ada"}}, "Hello Ada"),
        (DATA, "greeting", {"person": Person("Bob")}, "Hello Bob"),
        (INNER, "short", {"found": {"product": "lamp"}}, "la"),
        (SOLVE, "verify_1", {"judge": 0.9}, True),
        (SOLVE, "verify_1", {"judge": 0.2}, False),
    ],
)
def test_a_step_reads_typed_values(book, cell, step, values, output):
    bind(book, PERSON)
    run = bind(book, cell).step(step)(**values)
    assert run.status == "done", run.error
    assert run.output == output


def test_a_step_reads_the_value_of_another_run(book):
    book.script('{"product": "lamp", "count": 3}', "x", "y", "z")
    made = bind(book, TYPED)
    extract = made.step("extract")(q="q").output
    assert made.step("name")(extract=extract).output == "LAMP"


def test_an_approval_of_a_step_waits(book):
    run = bind(book, TYPED).step("approval_1")(extract=EXTRACT, maybe="a text")
    assert run.status == "waiting"
    run.approve()
    assert run.status == "done"


@pytest.mark.parametrize("value", [{"product": "lamp"}, "lamp", {"product": "lamp", "count": "many"}])
def test_a_value_that_does_not_fit_is_said(book, value):
    run = bind(book, TYPED).step("name")(extract=value)
    assert run.status == "failed"
    assert "is no value of step 'extract'" in run.error


def test_the_tools_of_an_agent_are_called_in_python(book):

    def look(topic: str) -> str:
        """Look."""
        return topic

    book.space["look"] = look
    made = bind(book, "%%react a --tools look\n{{ q }}\n")
    with pytest.raises(InputError, match="runs the tool calls of an agent: call look in Python"):
        made.step("tools")
    assert made.step("agent")().output == "said a question"
