"""Each rule fires on one cell and not on another that differs by what the rule asks for."""

import re
from dataclasses import dataclass, field

import pytest
from lives import bind

from orchmagic.lint import of_session
from orchmagic.lint.linter import fixed, lint
from orchmagic.runtime.tools import tool

PRICED = {"provider": "scripted", "input_price": 0.4, "output_price": 1.6}
REMOTE = {"model": "qwen", "base_url": "http://127.0.0.1:9/v1", "input_price": 0.4, "output_price": 1.6}
MODELS = {
    "small": {**PRICED, "model": "small"},
    "large": {**PRICED, "model": "large", "input_price": 2.0, "output_price": 8.0},
    "remote": REMOTE,
    "twice": {"deployments": [REMOTE, {**REMOTE, "base_url": "http://127.0.0.1:10/v1"}]},
    "many": {"deployments": [{**REMOTE, "base_url": f"http://127.0.0.1:{port}/v1"} for port in range(20, 26)]},
    "free": {"provider": "scripted", "model": "free"},
}


def find_order(order_id: str) -> str:
    """Find an order."""
    return order_id


def refund(order_id: str) -> str:
    """Give the money back."""
    return order_id


def sender(order_id: str) -> str:
    """Who sent it; only reads."""
    return order_id


@tool(writes=True)
def cancel_order(order_id: str) -> str:
    """Cancel an order."""
    return order_id


@dataclass
class Case:
    """A rule, a cell that it finds something in (at `line`, with `says` in the text), and one that is in order."""

    rule: str
    fires: str
    fine: str
    says: str = ""
    line: int = 1
    fix: str = ""
    space: dict = field(default_factory=dict)


REACT = "Answer from orders. {{ q }}\n"
ROUTE = "billing: refunds\n    B {{{{ q }}}}\n{last}\n"
REFINE = """\
%%refine tagline --model {model} --budget 1
generate
    A tagline for {{{{ q }}}}.
evaluate{judge} -> score: float, feedback: str
    Score: {{{{ generate }}}}
until evaluate.score >= 8 max 4
"""
CHAIN = "%%chain c --model small\n{}\n"

CASES = [
    Case(
        "OM102",
        f"%%react o --tools find_order --model small\n{REACT}",
        f"%%react o --tools find_order --model small --budget 0.10\n{REACT}",
        "8 calls and cost",
        fix="--budget 0.",
    ),
    Case(
        "OM102",
        "%%plan p --model small\nplan -> steps: list[str]\n    Plan {{ q }}\nexecute\n    Do {{ step }}\n",
        "%%plan p --model free\nplan -> steps: list[str]\n    Plan {{ q }}\nexecute\n    Do {{ step }}\n",
    ),
    Case(
        "OM102",
        REFINE.format(model="small", judge="").replace(" --budget 1", ""),
        REFINE.format(model="small", judge=""),
    ),
    Case(
        "OM102",
        "%%team t --model small\nsupervisor\n    Goal: {{ q }}\nwriter: writes\n    You write.\n",
        "%%team t --model small --budget 1\nsupervisor\n    Goal: {{ q }}\nwriter: writes\n    You write.\n",
    ),
    Case(
        "OM103",
        CHAIN.format("judge\n    Score {{ q }}\nscore = int(judge.split()[0])"),
        CHAIN.format("judge -> score: int\n    Score {{ q }}\nscore = judge.score + 1"),
        "'score' takes the text of 'judge' apart with .split()",
        line=4,
    ),
    Case(
        "OM103",
        CHAIN.format("a\n    A {{ q }}\nb = json.loads(a)"),
        CHAIN.format("a\n    A {{ q }}\ngate len(a.split()) < 90\nb\n    B {{ a }}"),
        "json.loads",
        line=4,
    ),
    Case(
        "OM103",
        CHAIN.format("a\n    A {{ q }}\nb = re.search('x', a)"),
        CHAIN.format("a\n    A {{ q }}\nb = re.search('x', q)"),
        "re.search",
        line=4,
    ),
    Case(
        "OM103",
        CHAIN.format("a\n    A {{ q }}\nb\n    B {{ a.split(',')[0] }}"),
        CHAIN.format("a\n    A {{ q }}\nb\n    B {{ q.split(',')[0] }} {{ a }}"),
        line=4,
    ),
    Case(
        "OM104",
        "%%chain c --model remote\na\n    A {{ q }}\n",
        "%%chain c --model remote --fallback small\na\n    A {{ q }}\n",
        "'remote' has one deployment",
        line=2,
    ),
    Case(
        "OM104",
        "%%chain c --model small\na(model=remote)\n    A {{ q }}\n",
        "%%chain c --model twice\na\n    A {{ q }}\n",
        line=2,
    ),
    Case(
        "OM105",
        REFINE.format(model="small", judge=""),
        REFINE.format(model="small", judge="(model=large)"),
        "'evaluate'",
        line=4,
    ),
    Case(
        "OM105",
        "%%cascade c --models small,large --judge small\nanswer\n    A {{ q }}\nverify judge >= 0.8\n",
        "%%cascade c --models small,large\nanswer\n    A {{ q }}\nverify judge >= 0.8\n",
        "Write --judge",
        line=4,
    ),
    Case(
        "OM105",
        CHAIN.format("a\n    A {{ q }}\nok -> good: bool\n    Good? {{ a }}\ngate ok.good\nb\n    B {{ a }}"),
        CHAIN.format(
            "a\n    A {{ q }}\nok(model=large) -> good: bool\n    Good? {{ a }}\ngate ok.good\nb\n    B {{ a }}"
        ),
        line=4,
    ),
    Case(
        "OM106",
        CHAIN.format("e -> product: str, summary: str\n    E {{ q }}\nb\n    B {{ e.product }}"),
        CHAIN.format("e -> why: str, product: str\n    E {{ q }}\nb\n    B {{ e.product }}"),
        "nothing reads e.summary",
        line=2,
    ),
    Case(
        "OM106",
        CHAIN.format("e(over=qs, item=one) -> a: str, z: str\n    E {{ one }}\nb = [x.a for x in e]\nc\n    C {{ b }}"),
        CHAIN.format("e(over=qs, item=one) -> a: str, z: str\n    E {{ one }}\nb\n    B {{ e }}"),
        "e.z",
        line=2,
        space={"qs": ["x"]},
    ),
    Case(
        "OM107",
        '%%parallel m --model small\nv(votes=5, temperature=0) -> label: "a" | "b"\n    V {{ q }}\n',
        '%%parallel m --model small\nv(votes=5, temperature=0.8) -> label: "a" | "b"\n    V {{ q }}\n',
        "5 votes at temperature 0",
        line=2,
        fix="v(votes=5) ->",
    ),
    Case(
        "OM108",
        "%%route r --model large --otherwise human\nrouter(model=large)\n    R {{ q }}\n"
        + ROUTE.format(last="human: else\n    H {{ q }}"),
        "%%route r --model large --otherwise human\nrouter(model=free)\n    R {{ q }}\n"
        + ROUTE.format(last="human: else\n    H {{ q }}"),
        "'router' uses large at $3.5 a million tokens",
        line=2,
    ),
    Case(
        "OM108",
        CHAIN.format(
            "a(model=small)\n    A {{ q }}\nok(model=large) -> good: bool\n    Good? {{ a }}\ngate ok.good\nb\n    B {{ a }}"
        ).replace("(model=small)", "(model=free)"),
        CHAIN.format(
            "a(model=large)\n    A {{ q }}\nok(model=free) -> good: bool\n    Good? {{ a }}\ngate ok.good\nb\n    B {{ a }}"
        ),
        "'ok' uses large",
        line=4,
    ),
    Case(
        "OM109",
        "%%route r --model small\n"
        + ROUTE.format(last='human(ask="H {{ q }}"): else').replace("{{{{", "{{").replace("}}}}", "}}"),
        "%%route r --model small --otherwise human\n" + ROUTE.format(last='human(ask="H {{ q }}"): else'),
        "fails the run",
        fix="--otherwise human",
    ),
    Case(
        "OM110",
        f"%%react o --tools find_order,refund --budget 1 --model small\n{REACT}",
        f"%%react o --tools find_order,sender,cancel_order --budget 1 --model small\n{REACT}",
        "--approve refund",
    ),
    Case(
        "OM110",
        CHAIN.format("e -> id: str\n    E {{ q }}\ndone = refund(e.id)"),
        CHAIN.format("e -> id: str\n    E {{ q }}\ndone = cancel_order(e.id)"),
        "'refund' seems to write",
        line=4,
    ),
    Case(
        "OM110",
        "%%team t --model small --budget 1\nsupervisor\n    Goal: {{ q }}\nwriter(tools=refund): writes\n    You write.\n",
        "%%team t --model small --budget 1\nsupervisor\n    Goal: {{ q }}\nwriter(tools=find_order): writes\n    You write.\n",
        line=4,
    ),
    Case(
        "OM111",
        "%%chain c --model many --retry 3\na(retry=2) -> x: str, y: str\n    A {{ q }}\n",
        "%%chain c --model many --retry 0\na(retry=2) -> x: str, y: str\n    A {{ q }}\n",
        "72 attempts: 24 of many, asked up to 3 times",
        line=2,
    ),
    Case(
        "OM112",
        '%%parallel m --model small\nv(votes=5) -> label: "a" | "b"\n    V {{ q }}\n',
        '%%parallel m --model free\nv(votes=5) -> label: "a" | "b"\n    V {{ q }}\n',
        "'v' takes 5 votes: up to $",
        line=2,
    ),
    Case(
        "OM112",
        "%%parallel m --model small\na\n    A {{ q }}\nb\n    B {{ q }}\n",
        "%%parallel m --model small --budget 0.1\na\n    A {{ q }}\nb\n    B {{ q }}\n",
        "2 sections are called side by side, up to $",
    ),
    Case(
        "OM112",
        CHAIN.format("e(over=qs, item=one)\n    E {{ one }}\n"),
        CHAIN.format("e(over=qs, item=one, model=free)\n    E {{ one }}\n"),
        "once for each of qs",
        line=2,
    ),
    Case(
        "OM204",
        CHAIN.format("facts\n    F {{ q }}\ntone\n    T {{ q }}\nwhole\n    {{ facts }} {{ tone }}"),
        CHAIN.format("facts\n    F {{ q }}\ntone\n    T {{ facts }}\nwhole\n    {{ facts }} {{ tone }}"),
        "'tone' waits for 'facts'",
        line=4,
    ),
]


def unbraced(cell):
    return re.sub(r"\{{4}", "{{", re.sub(r"\}{4}", "}}", cell))


@pytest.fixture
def book(notebook):
    notebook.session.add_models(MODELS)
    notebook.space.update(
        find_order=find_order, refund=refund, sender=sender, cancel_order=cancel_order, q="a question"
    )
    return notebook


def report_on(book, cell):
    made = bind(book, unbraced(cell))
    subject = of_session.subject(book.session, made)
    return subject, lint(subject)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.line}")
def test_a_rule_fires_where_it_should_and_only_there(book, case):
    book.space.update(case.space)
    subject, report = report_on(book, case.fires)
    found = [f for f in report.findings if f.rule == case.rule]
    assert found, report.text()
    assert case.says in str(found[0])
    assert found[0].line == case.line
    assert found[0].write
    if case.fix:
        mended = fixed(subject, report)
        assert case.fix in mended
        assert case.rule not in {f.rule for f in report_on(book, mended)[1].findings}
    _, other = report_on(book, case.fine)
    assert case.rule not in {f.rule for f in other.findings}, other.text()
    assert not report.notes + other.notes
