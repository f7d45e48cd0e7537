"""A tool that writes runs once for each key, whatever happens around it; when nobody knows, it says so."""

import asyncio
import inspect
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from typing import get_type_hints

import pytest

from orchmagic.errors import InputError, StoreError, WriteUnknown
from orchmagic.graph import tool_schema
from orchmagic.runtime.tools import WriteScope, tool, writes
from orchmagic.storage.runs import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def store(path):
    made = Store(path)
    yield made
    made.close()


class Shop:
    """A tool that pays money back, and the list of what it paid."""

    def __init__(self, key=None):
        self.paid = []

        @tool(writes=True, key=key)
        def refund(order_id: str, amount: float = 1.0) -> str:
            """Pay money back."""
            self.paid.append(order_id)
            if amount < 0:
                raise ValueError("no negative amounts")
            return f"refunded {order_id}"

        self.refund = refund


def test_outside_a_run_it_is_the_plain_function():
    shop = Shop()
    assert [shop.refund("A1"), shop.refund("A1")] == ["refunded A1"] * 2
    assert shop.paid == ["A1", "A1"]


def test_in_a_run_it_runs_once_and_the_second_call_is_told(store):
    shop, heard = Shop(), []
    with WriteScope(store.ledger, "r1").during():
        assert shop.refund("A1") == "refunded A1"
    with WriteScope(store.ledger, "r2", lambda write, state: heard.append((write.call, write.run, state))).during():
        assert shop.refund("A1") == "refunded A1"
        assert shop.refund("A2") == "refunded A2"
    assert shop.paid == ["A1", "A2"]
    again, another = (f"refund(order_id='{order}', amount=1.0)" for order in ("A1", "A2"))
    assert heard == [(again, "r1", "served"), (another, "r2", "begun"), (another, "r2", "done")]
    shop.refund("A1")  # after the run it is plain again
    assert len(shop.paid) == 3


def test_it_does_so_after_a_restart_too(path):
    shop = Shop()
    for run in ("r1", "r2"):
        store = Store(path)
        with WriteScope(store.ledger, run).during():
            assert shop.refund("A1") == "refunded A1"
        store.close()
    assert shop.paid == ["A1"]


def test_the_same_arguments_are_the_same_key_however_they_are_passed(store):
    shop = Shop()
    with WriteScope(store.ledger, "r1").during():
        shop.refund("A1")
        shop.refund(order_id="A1")
        shop.refund(amount=1.0, order_id="A1")
        shop.refund("A1", 2.0)
    assert shop.paid == ["A1", "A1"]


def test_a_key_of_ones_own_says_what_is_the_same(store):
    shop = Shop(key=lambda order_id, **_: order_id)
    with WriteScope(store.ledger, "r1").during():
        shop.refund("A1", 1.0)
        shop.refund("A1", amount=2.0)
    assert shop.paid == ["A1"]
    assert [(w.call, w.key) for w in store.ledger.writes()] == [("refund('A1')", "A1")]


def test_two_tools_have_keys_of_their_own(store):
    done = []

    @tool(writes=True)
    def send(to: str) -> None:
        done.append(f"send {to}")

    @tool(writes=True)
    def call(to: str) -> None:
        done.append(f"call {to}")

    with WriteScope(store.ledger, "r1").during():
        for _ in range(2):
            assert send("ada") is None
            call("ada")
    assert done == ["send ada", "call ada"]


def test_a_function_that_raised_wrote_nothing_and_may_run_again(store):
    shop = Shop()
    with WriteScope(store.ledger, "r1").during():
        for _ in range(2):
            with pytest.raises(ValueError, match="no negative"):
                shop.refund("A1", -1.0)
    assert shop.paid == ["A1", "A1"]
    assert [w.state for w in store.ledger.writes()] == ["failed"]


async def test_coroutines_threads_and_tasks_belong_to_the_run_that_began_them(store):
    done = []

    @tool(writes=True)
    async def book(seat: int) -> int:
        await asyncio.sleep(0)
        done.append(seat)
        return seat

    shop = Shop()
    with WriteScope(store.ledger, "r1").during():
        assert await asyncio.gather(book(1), asyncio.create_task(book(1)), book(2)) == [1, 1, 2]
        assert await asyncio.gather(*(asyncio.to_thread(shop.refund, "A1") for _ in range(4))) == ["refunded A1"] * 4
    assert sorted(done) == [1, 2]
    assert shop.paid == ["A1"]


async def test_who_comes_second_waits_for_the_result(store):
    begun, go = asyncio.Event(), asyncio.Event()

    @tool(writes=True)
    async def book(seat: int) -> str:
        begun.set()
        await go.wait()
        return "booked"

    with WriteScope(store.ledger, "r1").during():
        first = asyncio.create_task(book(1))
        await begun.wait()
        second = asyncio.create_task(book(1))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not second.done()
        go.set()
        assert await asyncio.gather(first, second) == ["booked", "booked"]


async def test_a_loop_never_waits_for_itself(store):
    begun, go = threading.Event(), threading.Event()

    @tool(writes=True)
    def book(seat: int) -> None:
        begun.set()
        go.wait(10)

    with WriteScope(store.ledger, "r1").during():
        first = asyncio.create_task(asyncio.to_thread(book, 1))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(WriteUnknown, match="make book async"):
            book(1)
        go.set()
        await first


def test_a_function_that_calls_itself_is_one_write(store):
    depth = []

    @tool(writes=True, key=lambda **_: "the same")
    def dig(deep: int) -> int:
        depth.append(deep)
        return dig(deep - 1) if deep else 0

    with WriteScope(store.ledger, "r1").during():
        assert dig(2) == 0
    assert depth == [2, 1, 0]


# --- an end that nobody knows ---


async def test_a_write_that_was_cancelled_in_the_middle_is_not_tried_again(store):
    begun = asyncio.Event()

    @tool(writes=True)
    async def book(seat: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    with WriteScope(store.ledger, "r1").during():
        first = asyncio.create_task(book(1))
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(WriteUnknown, match=r"book\(seat=1\) was begun by run r1 and its end is unknown"):
            await book(1)


PROGRAM = """
import sys
from pathlib import Path
from orchmagic.runtime.tools import WriteScope, tool
from orchmagic.storage.runs import Store

@tool(writes=True, key=lambda order_id: order_id)
def refund(order_id: str) -> str:
    print("begun", flush=True)
    sys.stdin.readline()
    with open(sys.argv[2], "a") as file:
        file.write("paid\\n")
    return "refunded"

store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with WriteScope(store.ledger, sys.argv[3]).during():
    print(refund("A1"), flush=True)
store.close()
"""


def program(path, run):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(path), f"{path}.paid", run]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def say(child):
    child.stdin.write("\n")
    child.stdin.flush()


def hear(child):
    return child.stdout.readline().strip()


@pytest.mark.slow
def test_of_two_processes_one_writes_and_the_other_waits_for_its_result(path):
    children = [program(path, "r1"), program(path, "r2")]
    assert [hear(c) for c in children] == ["ready", "ready"]
    first, second = children
    say(first)
    assert hear(first) == "begun"
    say(second)  # finds it begun, and waits
    say(first)  # may finish
    assert [hear(c) for c in children] == ["refunded", "refunded"]
    for child in children:
        child.communicate()
    assert path.with_name("runs.db.paid").read_text() == "paid\n"


def test_when_the_process_died_in_between_the_next_one_says_so(path, store):
    child = program(path, "r7")
    assert hear(child) == "ready"
    say(child)
    assert hear(child) == "begun"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    shop = Shop(key=lambda order_id, **_: order_id)
    with WriteScope(store.ledger, "r8").during():
        for _ in range(2):
            with pytest.raises(WriteUnknown) as told:
                shop.refund("A1")
    assert str(told.value) == (
        "refund('A1') was begun by run r7 and its end is unknown: check whether it was done. If so, write "
        "%orch writes settle w1 RESULT (what refund would have returned); if not, write %orch writes forget w1 to let "
        "it run again. Then resume the run"
    )
    assert shop.paid == []


def left_open(store):
    """A write of unknown end."""
    store.ledger.cut_off(store.ledger.claim("refund", "A1", "refund('A1')", "r1").id)


def test_a_person_lets_it_run_again(store):
    left_open(store)
    shop = Shop(key=lambda order_id, **_: order_id)
    store.ledger.forget("w1")
    with WriteScope(store.ledger, "r2").during():
        assert shop.refund("A1") == "refunded A1"
    assert shop.paid == ["A1"]


def test_a_person_says_that_it_was_done(store):
    left_open(store)
    shop = Shop(key=lambda order_id, **_: order_id)
    store.ledger.settle("w1", "done by hand")
    with WriteScope(store.ledger, "r2").during():
        assert shop.refund("A1") == "done by hand"
    assert shop.paid == []
    with pytest.raises(InputError, match="is done: there is nothing to settle"):
        store.ledger.settle("w1")


def test_a_write_under_way_cannot_be_forgotten(store):
    store.ledger.claim("refund", "A1", "refund('A1')", "r1")
    for act in (store.ledger.forget, store.ledger.settle):
        with pytest.raises(InputError, match="under way in run r1"):
            act("w1")
        with pytest.raises(InputError, match="no write 'w9'"):
            act("w9")


# --- what comes back ---


@dataclass
class Receipt:
    order: str
    amounts: tuple[float, ...]


class Odd:
    def __str__(self):
        return "an odd thing"


def test_a_recorded_result_has_the_declared_type(store):
    @tool(writes=True)
    def pay(order: str) -> Receipt:
        return Receipt(order, (1.0, 2.5))

    @tool(writes=True)
    def odd(order: str) -> object:
        return Odd()

    with WriteScope(store.ledger, "r1").during():
        assert [pay("A1"), pay("A1")] == [Receipt("A1", (1.0, 2.5))] * 2
        assert str(odd("A1")) == odd("A1") == "an odd thing"  # no JSON: kept as its text, but done once


def test_hostile_text_is_a_key_like_any_other(store):
    shop = Shop()
    with WriteScope(store.ledger, "r1").during():
        for _ in range(2):
            assert shop.refund("half \ud800 a pair") == "refunded half \ud800 a pair"
    assert len(shop.paid) == 1


def test_arguments_that_cannot_be_compared_need_a_key(store):
    @tool(writes=True)
    def save(thing: object) -> None:
        raise AssertionError

    with WriteScope(store.ledger, "r1").during(), pytest.raises(InputError, match="the arguments of save are no JSON"):
        save(Odd())


# --- the disk ---


def test_what_cannot_be_recorded_is_not_done(store):
    shop = Shop()
    store.database.write("PRAGMA query_only = ON")
    with WriteScope(store.ledger, "r1").during(), pytest.raises(StoreError, match="cannot be written"):
        shop.refund("A1")
    assert shop.paid == []


@pytest.mark.filterwarnings("ignore::orchmagic.storage.sqlite_files.StoreWarning")
def test_an_end_that_the_disk_does_not_take_is_remembered(store):
    done = []

    @tool(writes=True)
    def pay(order: str) -> str:
        done.append(order)
        store.database.write("PRAGMA query_only = ON")
        return "paid"

    with WriteScope(store.ledger, "r1").during():
        pay("A1")
        store.database.write("PRAGMA query_only = OFF")
        assert pay("A1") == "paid"
    assert done == ["A1"]


# --- the mark ---


def test_marks_are_seen_and_everything_else_is_as_it_was():
    def plain(order_id: str, amount: float = 1.0) -> str:
        """Pay money back."""

    @tool
    def reads(order_id: str) -> str:
        """Look it up."""

    refund = Shop().refund
    assert [writes(f) for f in (refund, reads, plain, 3)] == [True, False, False, False]
    assert inspect.signature(refund) == inspect.signature(plain)
    assert get_type_hints(refund) == get_type_hints(plain)
    assert inspect.getdoc(refund) == "Pay money back."
    assert "self.paid.append(order_id)" in inspect.getsource(refund)
    assert refund.__wrapped__.__name__ == refund.__name__ == "refund"
    assert tool_schema.problem("refund", refund) is None
    assert tool_schema.tool("refund", refund).spec == tool_schema.tool("refund", plain).spec


def test_a_coroutine_function_stays_one():
    @tool(writes=True)
    async def book(seat: int) -> None: ...

    assert inspect.iscoroutinefunction(book)


def test_a_mark_in_the_wrong_place_is_told():
    with pytest.raises(TypeError, match="directly above a `def`"):
        tool(3)
    with pytest.raises(TypeError, match="directly above a `def`"):
        tool(writes=True)(Odd)
    with pytest.raises(TypeError, match=r"write tool\(writes=True, key=…\)"):
        tool(key=lambda **_: 1)
