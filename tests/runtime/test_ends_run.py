"""A write of unknown end, a refused record and a limit end the run, whatever pattern, item, worker or tool met them."""

import asyncio
import threading
import time

import pytest
from lives import bind

from orchmagic import Reply
from orchmagic.errors import (
    BudgetExceeded,
    Capped,
    GateFailed,
    StoreError,
    Waiting,
    WriteUnknown,
    ending,
)
from orchmagic.notebook.commands import run as orch
from orchmagic.runtime.tools import tool


def call(order="A-1"):
    return Reply("", tool_calls=[("pay", {"order": order})])


def brain(body):
    """Plays all models: it pays when it can, and would pay once more under another key if it was told of a failure."""
    text, last = str(body["messages"]), body["messages"][-1]
    names = [t["function"]["name"] for t in body.get("tools") or []]
    if "pay" in names:
        return call() if last["role"] != "tool" else "paid" if "receipt" in last["content"] else call("again")
    shape = str(body.get("response_format"))
    if "'next'" in shape:
        over = "receipt" in text or "paid" in text.partition("Goal")[2]
        return {"next": "finish" if over else "clerk", "task": "pay", "answer": "ok" if over else ""}
    return {"steps": ["pay"]} if "'steps'" in shape else {"label": "money"} if "label" in shape else "fine"


CELLS = {
    "a code step": ["%%chain m --no-cache\ndone = pay('A-1')\nsay\n    Say {{ done }}\n"],
    "an agent": ["%%react m --no-cache --tools pay\nPay {{ t }}\n"],
    "an item": ["%%react m2 --no-cache --tools pay\nPay {{ t }}\n",
                "%%chain m --no-cache\neach(run=m2, over=ts, item=t)\nsay\n    Say {{ each }}\n"],
    "a section": ["%%parallel m --no-cache\nlong\n    Say {{ t }}\ndone = pay('A-1')\nmerge\n    {{ long }} {{ done }}\n"],
    "an agent in a section": ["%%react m2 --no-cache --tools pay\nPay {{ t }}\n",
                              "%%parallel m --no-cache\none(run=m2)\ntwo\n    Say {{ t }}\nmerge\n    {{ one }} {{ two }}\n"],
    "a worker": ["%%team m --no-cache --max-turns 4\nsupervisor\n    Goal: {{ t }}\nclerk(tools=pay): pays back\n    Pay.\n"],
    "a step of a plan": ["%%plan m --no-cache --tools pay\nplan -> steps: list[str]\n    Plan {{ t }}\nexecute\n    Do {{ step }}\n"],
    "a handler": ["%%react m2 --no-cache --tools pay\nPay {{ t }}\n",
                  "%%route m --no-cache\nmoney(run=m2): money\nother: the rest\n    Say {{ t }}\n"],
    "a check of a cascade": ["%%cascade m --no-cache --models scripted,scripted\nanswer\n    Say {{ t }}\nverify pay('A-1')\n"],
}  # fmt: skip


@pytest.fixture
def pay(notebook):
    """A tool that pays; the record of one earlier payment of A-1 has no end."""
    paid = []

    @tool(writes=True, key=lambda order: order)
    def pay(order: str) -> str:
        """Pay an order back."""
        paid.append(order)
        return f"receipt of {order}"

    notebook.space.update(pay=pay, t="t", ts=["one", "two"])
    notebook.script(brain)
    pay.paid = paid
    return pay


def unknown(notebook, key="A-1"):
    ledger = notebook.session.services.history.store.ledger
    write = ledger.claim("pay", key, f"pay({key!r})", "r9")
    ledger.cut_off(write.id)
    return write.id


def run(notebook, where):
    *inner, cell = CELLS[where]
    for text in inner:
        bind(notebook, text)
    return notebook.define(cell)()


@pytest.mark.parametrize("where", CELLS)
def test_a_write_of_unknown_end_ends_the_run_and_goes_on_with_the_result_that_a_person_gives(notebook, pay, where):
    id_ = unknown(notebook)
    done = run(notebook, where)
    assert (done.status, pay.paid) == ("failed", [])
    assert f"%orch writes settle {id_}" in done.error
    orch(notebook.session, f"writes settle {id_} receipt of A-1, by hand")
    assert (done.resume().status, pay.paid) == ("done", []), done.error
    if where in {"a code step", "a section"}:
        assert done.done == "receipt of A-1, by hand"


@pytest.mark.parametrize("where", ["a code step", "a worker", "an item"])
def test_a_write_that_was_not_done_is_done_by_the_resumed_run(notebook, pay, where):
    id_ = unknown(notebook)
    done = run(notebook, where)
    orch(notebook.session, f"writes forget {id_}")
    assert (done.resume().status, pay.paid) == ("done", ["A-1"])


@pytest.mark.parametrize("where", CELLS)
def test_a_write_that_cannot_be_recorded_ends_the_run(notebook, pay, where, monkeypatch):
    def refuse(*_):
        raise StoreError("the run history cannot be written: disk full")

    ledger = notebook.session.services.history.store.ledger
    monkeypatch.setattr(ledger, "claim", refuse)
    done = run(notebook, where)
    assert (done.status, done.error, pay.paid) == ("failed", "the run history cannot be written: disk full", [])
    monkeypatch.undo()
    assert (done.resume().status, set(pay.paid)) == ("done", {"A-1"})


def swallowed(pay):
    try:
        return pay("A-1")
    except WriteUnknown:
        return "it did not work"


def renamed(pay):
    try:
        return pay("A-1")
    except Exception as error:
        raise ValueError("the shop is down") from error


@pytest.mark.parametrize("around", [swallowed, renamed])
@pytest.mark.parametrize("where", ["a code step", "an agent", "a section", "a worker"])
def test_a_function_that_catches_the_error_does_not_hide_it(notebook, pay, around, where):
    id_ = unknown(notebook)

    def wrapping(order: str) -> str:
        """Pay an order back."""
        return around(pay)

    wrapping.__name__ = "pay"
    notebook.space["pay"] = wrapping
    done = run(notebook, where)
    assert (done.status, pay.paid) == ("failed", [])
    assert f"%orch writes settle {id_}" in done.error


def slow_async(released):
    async def pay(order: str) -> str:
        """Pay an order back."""
        await asyncio.sleep(60)
        return "late"

    return pay


def slow_thread(released):
    def pay(order: str) -> str:
        """Pay an order back."""
        released.wait(60)
        return "late"

    return pay


@pytest.mark.parametrize("kind", [slow_async, slow_thread])
def test_a_write_that_does_not_answer_in_time_is_not_told_to_the_model(notebook, kind):
    released = threading.Event()
    notebook.space.update(pay=tool(writes=True)(kind(released)), t="t")
    notebook.script(brain)
    done = notebook.run("%%react m --no-cache --tools pay --timeout 0.2s\nPay {{ t }}\n")
    released.set()
    assert done.status == "failed"
    assert "pay(order='A-1')" in done.error
    assert len(notebook.scripted.requests) == 1


def test_a_stop_is_no_unknown_write_to_the_run(notebook):
    began = []

    @tool(writes=True)
    async def pay(order: str) -> str:
        began.append(order)
        await asyncio.sleep(60)
        return "never"

    notebook.space.update(pay=pay)
    started = notebook.define("%%chain m\nx = pay('A-1')\n").start()
    until = time.monotonic() + 20
    while not began and time.monotonic() < until:
        time.sleep(0.01)
    started.cancel()
    assert started.status == "cancelled"
    assert notebook.session.services.history.store.ledger.find("w1").state == "unknown"


STOP, WAIT, LATE = KeyboardInterrupt(), Waiting("?", span="a#1"), Capped("late")


@pytest.mark.parametrize(
    ("outcomes", "first"),
    [
        ([], None),
        ([None, "text", GateFailed("no"), ValueError()], None),
        ([WAIT, None], WAIT),
        ([WAIT, LATE], LATE),
        ([WAIT, LATE, STOP], STOP),
        ([ValueError(), LATE, WAIT], LATE),
    ],
)
def test_of_several_ends_the_gravest_counts(outcomes, first):
    assert ending(outcomes) is first


def test_a_failure_to_record_comes_before_limits_and_questions():
    unknown, refused = WriteUnknown("?"), StoreError("full")
    assert ending([WAIT, LATE, BudgetExceeded("spent"), refused]) is refused
    assert ending([WAIT, refused, unknown]) is unknown
