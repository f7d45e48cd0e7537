"""Cells that look right and do something else are refused when they are read: line, caret, what to write, no call."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from orchmagic.errors import CellError


class Ticket(BaseModel):
    product: str


def search(query: str) -> str:
    """Searches."""
    return query


INNER = "%%chain inner\nsay\n    About {{ text }}\n"
REFUSED = [
    # a step without a prompt
    ("%%chain\nfirst\nsecond\n    {{ name }}\n", 2, "step 'first' has no prompt"),
    ("%%chain\nfirst: Hi {{ name }}\n", 2, "text after the colon is a description"),
    ("%%chain\nfirst(temperature=0) -> a: int\nsecond\n    x\n", 2, "step 'first' has no prompt"),
    ("%%parallel\none\n    x {{ name }}\ntwo: the second\n", 4, "step 'two' has no prompt"),
    ("%%parallel\none\n    x {{ name }}\ntwo\n    y\nmerge\n", 6, "step 'merge' has no prompt"),
    ("%%refine\ngenerate\nuntil evaluate.score > 8\n", 2, "step 'generate' has no prompt"),
    ("%%cascade --models a,b\nanswer\nverify answer\n", 2, "step 'answer' has no prompt"),
    ("%%mapreduce --over name\nmap\n", 2, "step 'map' has no prompt"),
    ("%%route\na: things\n    {{ name }}\nb: others\n", 4, "handler 'b' has no prompt"),
    ("%%chain\na\n    {# later #}\n", 3, "the user message is empty"),
    ("%%chain\na\n    system: {# later #}\n    user: x\n", 3, "the system message is empty"),
    ("%%route\na: things\n    {# later\n    #}\nb: others\n    {{ name }}\n", 3, "the user message is empty"),
    # a field that a typed step does not have
    ("%%chain\na -> word: str, n: int\n    x\nb\n    {{ a.wrod }}\n", 5, "step 'a' has no output 'wrod'"),
    ("%%chain\na -> word: str\n    x\nb\n    {% if a.wrod %}{{ name }}{% endif %}\n", 5, "no output 'wrod'"),
    ("%%chain\na -> word: str\n    x\nb\n    system: {{ a.wrod }}\n    user: y\n", 5, "no output 'wrod'"),
    ("%%chain\na -> word: str\n    x\ngate a.wrod\n", 4, "step 'a' has no output 'wrod'"),
    ('%%chain\na -> word: str\n    x\napprove "Is {{ a.wrod }} right?"\n', 4, "no output 'wrod'"),
    ("%%chain\na\n    x\nb\n    {{ a.word }}\n", 5, "step 'a' has no output 'word'"),
    ("%%chain\na -> int\n    x\ngate a.score > 3\n", 4, "step 'a' has no output 'score'"),
    ("%%chain\na -> Ticket\n    x\nb\n    {{ a.prodct }}\n", 5, "did you mean 'product'"),
    ("%%chain\na(over=names, item=n) -> word: str\n    {{ n }}\nb\n    {{ a.word }}\n", 5, "no output 'word'"),
    (
        (
            "%%refine\ngenerate\n    x {{ evaluate.advice }}\nevaluate -> score: float\n    {{ generate }}\n"
            "until evaluate.score > 8\n"
        ),
        3,
        "step 'evaluate' has no output 'advice'",
    ),
    ("%%cascade --models a,b\nanswer -> value: int\n    {{ name }}\nverify answer.valeu > 0\n", 4, "'valeu'"),
    # the same, read otherwise
    ("%%chain\na -> x: int\n    q\nb\n    {{ a['y'] }}\n", 5, "step 'a' has no output 'y'"),
    ("%%chain\na -> x: int\n    q\ngate a['y'] > 1\n", 4, "step 'a' has no output 'y'"),
    ('%%chain\na -> x: int\n    q\ngate a["x"] > 1\n', 4, "the output of step 'a' has fields, not keys"),
    ("%%chain\na\n    q\nb\n    {{ a['x'] }}\n", 5, "step 'a' has no output 'x'"),
    ("%%chain\na(over=names) -> x: int\n    {{ item }}\nb\n    {{ a[0].y }}\n", 5, "step 'a' has no output 'y'"),
    ("%%chain\na(over=names) -> x: int\n    {{ item }}\nb = a[-1].y\n", 4, "step 'a' has no output 'y'"),
    (
        "%%chain\na(over=names) -> x: int\n    {{ item }}\nb\n    {% for r in a %}{{ r.y }}{% endfor %}\n",
        5,
        "step 'a' has no output 'y'",
    ),
    ("%%chain\na(over=names) -> x: int\n    {{ item }}\nb = [r.y for r in a if r]\n", 4, "step 'a' has no output 'y'"),
    (
        "%%chain\na(over=names) -> x: int\n    {{ item }}\nb(over=a, item=r)\n    {{ r.y }}\n",
        5,
        "step 'a' has no output 'y'",
    ),
    # a prompt that never reads its item
    ("%%chain\na(over=names)\n    Rate {{ names }}\n", 2, "step 'a' never reads 'item'"),
    ("%%chain\na(over=names, item=n)\n    Rate {{ name }}\n", 2, "step 'a' never reads 'n'"),
    ("%%chain\na(over=names, run=inner)\n", 2, "which never reads 'item'"),
    ("%%mapreduce --over name\nmap\n    Sum up.\n", 2, "step 'map' never reads 'chunk'"),
    ("%%mapreduce --over name\nmap(run=inner)\n", 2, "which never reads 'chunk'"),
    ("%%parallel\na(over=names)\n    x\nb\n    y {{ name }}\n", 2, "step 'a' never reads 'item'"),
    # an evaluator that `until` does not read, a cascade that nothing checks
    (
        "%%refine\ngenerate\n    x\njudge -> score: float\n    {{ generate }}\nuntil judge.score > 8\n",
        6,
        "reads 'judge'",
    ),
    ("%%refine\ngenerate\n    x\ntests = len(generate)\nuntil tests > 8\n", 5, "`until` reads 'tests'"),
    (
        "%%refine\ngenerate\n    x\nreview -> score: int\n    {{ generate }}\nuntil evaluate.score > 8\n",
        4,
        "nothing reads 'review'",
    ),
    ("%%cascade --models a,b\nanswer\n    {{ name }}\n", 1, "nothing checks the answer"),
    ("%%cascade --models a,b\nanswer -> int\n    {{ name }}\n", 1, "nothing checks the answer"),
    # a variable of a name that is also the run's, which the cell may mean both ways
    (
        "%%chain\na\n    {{ errors }}\nb(over=names)\n    {{ item }}\nc\n    {{ errors }}\n",
        3,
        "'errors' is the notebook's where no step has failed",
    ),
    (
        "%%chain\na(over=errors, item=e)\n    {{ e }}\nb\n    {{ errors }}\n",
        2,
        "'errors' is the notebook's where no step has failed",
    ),
    (
        "%%chain\na(over=names)\n    {{ item }}\nb = reading_errors()\n",
        4,
        "'reading_errors' reads the notebook's 'errors'",
    ),
    (
        "%%chain\na\n    x\nb = reading_visits()\ngate len(b) > 1 else goto a\n",
        4,
        "'reading_visits' reads the notebook's 'visits'",
    ),
    ("%%react --tools search\nGo on: {{ messages }}\n", 2, "the prompt of agent 'agent' reads 'messages'"),
    (
        "%%team\nboss\n    x\na(tools=search): finds\n    {{ messages }}\n",
        5,
        "the prompt of agent 'a' reads 'messages'",
    ),
]
TAKEN = [
    "%%chain\nanswer\n    {{ user }}\n",
    "%%chain\nready\n    {{ readme }}\n",
    "%%chain\nticket\n    {{ tickets }}\n",
    "%%chain\ntest\n    {{ text }}\n",
    "%%chain\nstep1\n    {{ step2 }}\n",
    "%%chain\nreview\n    {{ reviewer }}\n",
    "%%chain\na -> word: str\n    x\nb\n    {{ a.word.upper() }} {{ a.model_dump() }}\n",
    "%%chain\na\n    x\nb\n    {{ a.upper() }} {{ a.strip() }}\n",
    "%%chain\na(votes=3) -> word: str\n    x\nb\n    {{ a.word }} {{ a.agreement }}\n",
    "%%chain\na -> dict[str, int]\n    x\nb\n    {{ a.total }}\n",
    "%%chain\na -> Ticket\n    x\nb\n    {{ a.product }} {{ a.model_dump_json() }}\n",
    "%%chain\na -> words: list[str]\n    x\nb(over=a.words, item=w)\n    {% for a in w %}{{ a.upper() }}{% endfor %}\n",
    "%%chain\na(over=names, item=text, run=inner)\n",
    "%%mapreduce --over name\nmap\n    {{ chunk }}\n",
    "%%refine\ngenerate\n    x\nuntil evaluate.score > 8\n",
    "%%refine\ngenerate\n    x\nevaluate = len(generate)\nuntil evaluate > 8\n",
    "%%cascade --models a,b\nanswer\n    {{ name }}\nverify judge > 0.8\n",
    "%%route\nbilling: refunds\n    {{ name }}\nother: the rest\n    {{ name }}\n",
    "%%team\nsupervisor\n    {{ name }}\nwriter: writes plainly\n",
    "%%chain\na\n    {{ feedback }}\nb(over=pack, item=p)\n    {{ p }}\n",
    "%%chain\na(when=split > 0.1)\n    x\n",
    "%%chain\na -> x: int\n    q\nb\n    {{ a['x'] }}\n",
    "%%chain\na(over=names) -> x: int\n    {{ item }}\nb\n    {% for r in a %}{{ r.x }}{% endfor %}{{ a[0].x }}\n",
    "%%chain\na(over=names) -> x: int\n    {{ item }}\nb(over=a, item=r)\n    {{ r.x }} {{ r.items() }} {{ r['x'] }}\n",
    "%%chain\na(over=names) -> x: int\n    {{ item }}\nb = [r.x for r in a] + [a.y for a in names]\n",
    "%%chain\na -> Ticket\n    x\nb = sorted([1], key=lambda a: a.real)\n",
    "%%chain\na -> dict[str, int]\n    x\nb = a['total']\n",
    "%%refine\ngenerate\n    x\ntests = len(generate)\nuntil evaluate.score > 8 and tests\n",
    "%%chain\na\n    {{ messages }}\n",
    "%%chain\na\n    {{ errors }}\n",
    "%%chain\na\n    x\ngate visits\n",
    "%%chain\na(over=errors, item=e)\n    {{ e }}\n",
    "%%chain\na(over=errors, item=e)\n    {{ e }}\nb(over=names)\n    {{ item }}\n",
    "%%chain\na\n    {{ errors }}\nb(over=names)\n    {{ item }}\n",
    "%%chain\na(over=messages, item=m)\n    {{ m }}\n",
    "%%chain\nx = len(visits)\na\n    {{ x }}\n",
    "%%refine\ngenerate\n    x\nuntil evaluate.score > len(errors)\n",
    "%%chain\na\n    x\nb = reading_errors()\n",
    "%%chain\na\n    x\nb = reading_visits()\n",
]


@pytest.fixture
def book(notebook):
    notebook.space.update(name="Ada", names=["Ada", "Bob"], Ticket=Ticket, search=search)
    notebook.space.update(messages=["m"], errors=["e"], visits=3, feedback="f", split=0.2, pack=["p"])
    notebook.space["inner"] = notebook.define(INNER)
    for name in ("errors", "visits"):
        notebook.space[f"reading_{name}"] = notebook.define(f"%%chain reading_{name}\na\n    {{{{ {name} }}}}\n")
    return notebook


@pytest.mark.parametrize(("cell", "line", "found"), REFUSED)
def test_a_cell_that_does_something_else_is_refused(book, cell, line, found):
    with pytest.raises(CellError) as caught:
        book.define(cell)
    told = [p for p in caught.value.problems if found in str(p)]
    assert [p.line for p in told] == [line], str(caught.value)
    assert all(p.write and "^" in str(p) for p in told)
    assert len(caught.value.problems) == 1
    assert book.prompts == []


@pytest.mark.parametrize("cell", TAKEN)
def test_a_cell_that_only_resembles_one_is_taken(book, cell):
    assert book.define(cell).definition.nodes
    assert book.said == []


def test_the_caret_stands_below_the_field(book):
    with pytest.raises(CellError) as caught:
        book.define("%%chain\na -> word: str\n    x\nb\n    say {{ a.wrod }}\n")
    assert "\n        say {{ a.wrod }}\n    " + " " * 11 + "^" in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%chain\na\n    Hello {name}, \n", "line 3: {name} is sent as it stands. For its value write {{ name }}"),
        ("%%chain\na\n    x\nb\n    {a}\n", "line 5: {a} is sent"),
        ("%%chain\na\n    Dear {names[0]},\n", "{names[0]} is sent as it stands. For its value write {{ names[0] }}"),
        (
            "%%chain\na\n    Dear {name.first}\n",
            "{name.first} is sent as it stands. For its value write {{ name.first }}",
        ),
        ("%%chain\na\n    Dear {name!r}\n", "{name!r} is sent as it stands. For its value write {{ name }}"),
        ("%%chain\na\n    Pay {visits:.2f}\n", "{visits:.2f} is sent as it stands. For its value write {{ visits }}"),
        ("%%react --tools search\nFind {name}.\n", "line 2: {name} is sent"),
        (
            "%%chain\na -> word: str\n    x\n    gate a.word != ''\n",
            "line 4: `gate a.word != ''` is a line of the prompt",
        ),
        ("%%chain\na\n    x\n    b(temperature=0) -> n: int\n", "line 4: `b(temperature=0) -> n: int` is a line of"),
        ("%%chain\na\n    x\n    b -> str\n        y\n", "line 4: `b -> str` is a line of the prompt"),
    ],
)
def test_text_that_looks_like_syntax_is_said_once(book, cell, told):
    book.define(cell)
    book.define(cell)
    assert [told in said for said in book.said] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "{unknown}",
        '{"name": 1}',
        "{name: 1}",
        '{name:"x"}',
        "{names[0}",
        "{unknown.name}",
        "{{ name }}",
        "${name}",
        "gate the values",
        "verify that it works",
        "print(name)",
        "len(names)",
    ],
)
def test_other_text_is_not_remarked_on(book, text):
    book.define(f"%%chain\na\n    Do: {text} {{{{ name }}}}\n    {text}\n")
    assert book.said == []


@pytest.mark.parametrize(("name", "sent"), [("feedback", "f"), ("split", "0.2"), ("pack", '["p"]')])
def test_a_variable_may_have_a_name_that_is_also_ours(book, name, sent):
    book.script("ok")
    run = book.run(f"%%chain --no-cache\na\n    {{{{ {name} }}}}\ngate {name} is not None else retry 1\n")
    assert run.status == "done"
    assert "".join(book.prompts[0].split()) == sent
