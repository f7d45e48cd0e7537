"""Rules with figures: each fires on one history of runs and not on another, and quotes its figures."""

from dataclasses import dataclass, field, replace

import pytest
from lives import bind

from orchmagic import Reply, Script, install
from orchmagic.lint import of_session
from orchmagic.lint.linter import lint

MODELS = {
    "small": {"provider": "scripted", "model": "scripted", "input_price": 1.0, "output_price": 2.0},
    "large": {"provider": "scripted", "model": "large", "input_price": 10.0, "output_price": 20.0},
}


def find_order(order_id: str) -> str:
    """Find an order."""
    return f"order {order_id}"


LOOK = Reply("", tool_calls=[("find_order", {"order_id": "7"})])
ORDERS = "%%react orders --tools find_order --model small --max-iterations 3\nWhere is it? {{ q }}\n"
GATE = """\
%%chain triage --model small
extract -> product: str
    {{ q }}
ok -> good: bool
    One of ours? {{ extract.product }}
gate ok.good else stop "not ours"
answer
    {{ extract.product }}
"""
PRODUCT, OTHER = '{"product": "lamp"}', '{"product": "sofa"}'
GOOD, BAD = '{"good": true}', '{"good": false}'
ROUTE = """\
%%route desk --model small --otherwise human
billing: refunds
    B {{ q }}
legal: contracts
    L {{ q }}
human: anything else
    H {{ q }}
"""
BILLING, LEGAL = '{"label": "billing"}', '{"label": "legal"}'
SOLVE = "%%cascade solve --models small,large --judge small\nanswer\n    {{ q }}\nverify judge >= 0.8\n"
EXTRACT = "%%chain c --model small\nextract -> product: str, count: int\n    {{ q }}\n"
COUNT = '{"product": "lamp", "count": 2}'
LONG = "%%chain c --model small\nsummary\n    {{ q }}{{ text }}\n"
DIGEST = "%%mapreduce c --over text --chunk 8000 --model small\nmap\n    {{ chunk }}\nreduce\n    {{ parts }}\n"


@dataclass
class Case:
    """A cell, the runs of two histories as (number of runs, replies of each), and what the finding says of the first."""

    rule: str
    cell: str
    fires: list
    fine: list
    says: str
    line: int = 1
    large: list = field(default_factory=list)
    text: str = ""


CASES = [
    Case(
        "OM101", ORDERS, [(39, [LOOK, "found"]), (1, ["which order?"])], [(37, [LOOK, "found"]), (3, ["which order?"])],
        "the agent called find_order in 39 of 40 runs on different inputs. Write the chain:",
    ),
    Case("OM101", ORDERS, [(30, ["fine"])], [(29, ["fine"])], "the agent called no tool in 30 of 30 runs"),
    Case(
        "OM201", ORDERS, [(2, [LOOK, LOOK, LOOK]), (18, ["fine"])], [(1, [LOOK, LOOK, LOOK]), (18, ["fine"])],
        "2 of 20 runs stopped at a limit",
    ),
    Case(
        "OM202", GATE, [(30, [PRODUCT, GOOD, "a"])], [(30, [PRODUCT, GOOD, "a"]), (1, [OTHER, BAD])],
        "`gate ok.good` was true in all of 30 runs; 'ok' cost $0.0", 4,
    ),
    Case(
        "OM203", ROUTE, [(50, [BILLING, "paid"])], [(50, [BILLING, "paid"]), (1, [LEGAL, "law"])],
        "'legal' was chosen in 0 of 50 runs ('billing' in 50)", 4,
    ),
    Case("OM203", ROUTE, [(50, [LEGAL, "law"])], [(49, [LEGAL, "law"])], "'billing' was chosen in 0 of 50 runs", 2),
    Case(
        "OM205", SOLVE, [(30, ["a", "0.1", "0.9"])], [(24, ["a", "0.1", "0.9"]), (6, ["a", "0.9"])],
        "30 of 30 runs escalated from small; a run cost $0.0", large=["A"],
    ),
    Case(
        "OM205", SOLVE, [(30, ["a", "0.9"])], [(29, ["a", "0.9"]), (1, ["a", "0.1", "0.9"])],
        "none of 30 runs escalated from small; a run cost $0.0", large=["A"],
    ),
    Case(
        "OM206", EXTRACT, [(4, ["no", COUNT]), (26, [COUNT])], [(3, ["no", COUNT]), (27, [COUNT])],
        "4 of 34 replies of 'extract' did not fit", 2,
    ),
    Case("OM207", LONG, [(20, ["short"])], [(19, ["short"])], "95% of the prompts of 'summary' have up to 4,00", 2,
         text="word " * 4_000),
]  # fmt: skip


@pytest.fixture
def book(notebook):
    notebook.session.add_models(MODELS)
    notebook.space.update(find_order=find_order, q="a question", text="")
    return notebook


def history(book, made, runs, large=()):
    """Records of runs of the scripted model, each on an input of its own."""
    found = []
    for count, replies in runs:
        book.space["q"] = f"question {len(found)}"
        book.script(*replies) if len(replies) > 1 else install(Script(list(replies)))
        if large:
            install(Script(list(large)), "large")
        record = made().record
        found += [replace(record, inputs={"q": str(len(found) + n)}) for n in range(count)]
    return found


def findings(book, made, records, rule):
    subject = replace(of_session.subject(book.session, made), records=records)
    return [f for f in lint(subject).findings if f.rule == rule]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule} {case.says[:30]}")
def test_a_rule_fires_on_one_history_and_not_on_another(book, case):
    book.space["text"] = case.text
    made = bind(book, case.cell)
    found = findings(book, made, history(book, made, case.fires, case.large), case.rule)
    assert len(found) == 1
    assert case.says in str(found[0])
    assert found[0].line == case.line
    assert not findings(book, made, history(book, made, case.fine, case.large), case.rule)


def test_the_same_input_again_adds_no_evidence(book):
    made = bind(book, ORDERS)
    same = [replace(r, inputs={"q": "same"}) for r in history(book, made, [(60, [LOOK, "found"])])]
    assert not findings(book, made, same, "OM101")


def test_mapreduce_reads_long_texts(book):
    book.space["text"] = "word " * 4_000
    made = bind(book, DIGEST)
    assert not findings(book, made, history(book, made, [(30, ["part"] * 20)]), "OM207")


def test_the_chain_in_place_of_the_agent_runs(book):
    made = bind(book, ORDERS)
    [found] = findings(book, made, history(book, made, [(30, [LOOK, LOOK, "found"])]), "OM101")
    cell = "\n".join(line[4:] for line in found.write.splitlines()[1:])
    book.script('{"order_id": "7"}', '{"order_id": "8"}', "at the door")
    run = book.define(cell)()
    assert run.output == "at the door"
    assert run.find_order_2 == "order 8"


def test_the_history_of_a_session_is_read(book):
    made = bind(book, ROUTE)
    for n in range(2):
        book.space["q"] = f"question {n}"
        book.script(BILLING, "paid")
        made()
    subject = of_session.subject(book.session, made)
    assert len(subject.records) == len(subject.samples) == 2
