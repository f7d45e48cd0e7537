"""A history that cannot be read or written: no write is done without it, and nothing that is in it is lost or hidden."""

import asyncio
import os
import sqlite3
import threading
import warnings
from contextlib import closing
from datetime import datetime

import pytest

from orchmagic.errors import InputError, StoreError
from orchmagic.storage.runs import Keeping, Store
from orchmagic.storage.sqlite_files import StoreWarning
from orchmagic.storage.values import INLINE, LARGEST
from orchmagic.storage.writer_thread import WriterThread
from orchmagic.trace.record import Span

RECORD = {"version": 1, "run": "r1", "spans": [], "inputs": {}, "output": None, "cost": 0.5, "usage": {"input": 3}}


@pytest.fixture
def path(tmp_path):
    """A history with one run and one write that was done."""
    file = tmp_path / "runs.sqlite"
    store = Store(file)
    store.save(store.begin("old", "chain", inputs={"a": 1}), "done", RECORD, [])
    store.ledger.done(store.ledger.claim("pay", "A-1", "pay('A-1')", "r1").id, "paid")
    store.close()
    return file


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        return [file.execute(s).fetchall() for s in statements]


def damaged(path):
    path.write_bytes(os.urandom(5000))


def newer(path):
    sql(path, "PRAGMA user_version = 99", "ALTER TABLE runs DROP COLUMN seconds", "ALTER TABLE runs ADD COLUMN later")


def without_writes(path):
    sql(path, "DROP TABLE writes")


def without_journal(path):
    sql(path, "DROP TABLE journal")


SPOILED = {
    damaged: ("not a database", []),
    newer: ("by a newer orchmagic, version 99", ["r1"]),
    without_writes: ("lacks the table 'writes'", ["r1"]),
    without_journal: ("lacks the table 'journal'", ["r1"]),
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_without_a_usable_history_no_write_begins_and_runs_are_still_listed(path, spoil):
    spoil(path)
    why, listed = SPOILED[spoil]
    before = path.read_bytes()
    store = Store(path)
    with pytest.warns(StoreWarning, match=why) as told:
        assert [r.id for r in store.runs()] == listed
    with pytest.raises(StoreError, match=why) as refused:
        store.ledger.claim("pay", "A-1", "pay('A-1')", "r2")
    id_ = store.begin("new", "chain")  # the run goes on
    store.journal(id_).keep("a#1", "k", 1)
    store.save(id_, "done", RECORD, [])
    store.close()
    assert len(told) == 1
    assert any(word in str(refused.value) for word in ("move the file away", "pip install -U"))
    assert path.read_bytes() == before


def test_a_history_that_was_switched_off_is_no_trouble(path):
    store = Store(None)
    assert store.ledger.claim("pay", "A-1", "pay('A-1')", "r1").mine
    store.close()


def test_a_file_that_is_deleted_under_a_kernel_is_written_back(path):
    store = Store(path)
    assert store.ledger.find("w1").state == "done"
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with pytest.warns(StoreWarning, match="written back"):
        assert store.ledger.claim("pay", "A-1", "pay('A-1')", "r2").result == "paid"
    assert store.ledger.claim("pay", "A-2", "pay('A-2')", "r2").mine
    store.close()
    again = Store(path)
    assert [w.key for w in again.ledger.writes()] == ["A-2", "A-1"]
    assert [r.id for r in again.runs()] == ["r1"]
    again.close()


def test_of_two_kernels_one_writes_it_back_and_the_other_finds_it(path):
    one, two = Store(path), Store(path)
    assert [s.ledger.find("w1").state for s in (one, two)] == ["done", "done"]
    path.unlink()
    with pytest.warns(StoreWarning, match="written back"):
        one.ledger.claim("pay", "A-2", "pay('A-2')", "r2")
    assert two.ledger.claim("pay", "A-2", "pay('A-2')", "r3").run == "r2"
    one.close()
    two.close()


def test_a_file_that_another_one_replaced_takes_no_write(path, tmp_path):
    store = Store(path)
    assert store.ledger.find("w1")
    other = Store(tmp_path / "other.sqlite")
    other.begin("x", "chain")
    other.close()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    (tmp_path / "other.sqlite").replace(path)
    with pytest.warns(StoreWarning, match="another file"), pytest.raises(StoreError, match="restart the kernel"):
        store.ledger.claim("pay", "A-1", "pay('A-1')", "r2")
    store.close()


# --- versions, both ways ---

FIRST = """
CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, pattern TEXT, status TEXT, started TEXT,
    updated TEXT, pid INTEGER, host TEXT, life TEXT, notebook TEXT, user TEXT, source TEXT, sources TEXT,
    options TEXT, inputs TEXT, parent TEXT, record TEXT, events TEXT, cost REAL, tokens INTEGER, seconds REAL);
CREATE TABLE journal(run TEXT, id TEXT, key TEXT, own INTEGER, value TEXT, PRIMARY KEY(run, id));
CREATE INDEX journal_key ON journal(run, key);
CREATE TABLE writes(number INTEGER PRIMARY KEY AUTOINCREMENT, tool TEXT, key TEXT, call TEXT, state TEXT,
    result TEXT, run TEXT, at TEXT, pid INTEGER, host TEXT, life TEXT, UNIQUE(tool, key));
CREATE TABLE turns(thread TEXT, number INTEGER, role TEXT, content TEXT, run TEXT, PRIMARY KEY(thread, number));
INSERT INTO runs(name, pattern, status, started, updated, pid, host, life, source, sources, inputs, record, events)
    VALUES ('old', 'chain', 'waiting', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00', 1, 'h', '', '"x"',
    '{}', '{"a": 1}', '{"version": 1, "spans": []}', '[]');
INSERT INTO journal VALUES ('r1', 'a#1', 'k', 1, '5');
INSERT INTO writes(tool, key, call, state, result, run, at, pid, host, life)
    VALUES ('pay', 'A-1', 'pay(1)', 'done', '"paid"', 'r1', '2026-01-01T00:00:00+00:00', 1, 'h', '');
INSERT INTO turns VALUES ('ada', 1, 'user', '{"role": "user", "content": "hi"}', 'r1');
PRAGMA user_version = 1
"""


def test_a_history_of_the_first_version_is_migrated_and_nothing_is_lost(tmp_path):
    path = tmp_path / "runs.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(FIRST)
    for _ in range(2):
        store = Store(path)
        run = store.run("r1")
        assert (run.name, run.status, run.uid, run.pinned, store.inputs(run)) == ("old", "waiting", "", False, {"a": 1})
        assert store.journal("r1").recall("a#1", "k").value == 5
        assert store.ledger.claim("pay", "A-1", "pay(1)", "r2").result == "paid"
        assert store.thread("ada") == [{"role": "user", "content": "hi"}]
        store.close()
    assert sql(path, "PRAGMA user_version", "SELECT count(*) FROM blobs") == [[(2,)], [(0,)]]


ODD = [
    "cost = 'free', tokens = 'many', seconds = 'long'", "inputs = '[1]', sources = '3', events = '{}'", "record = '[]'",
    "status = 'running', pid = 'x'", "started = 'yesterday', updated = 7", "name = NULL, source = x'ff00'", "record = '{'",
    "cost = NULL, unpriced = NULL, tokens = NULL, seconds = NULL, notebook = NULL, user = NULL, life = NULL",
    "name = CAST(x'ff' AS TEXT)", "pinned = 'no', uid = 5, options = '{'",
]  # fmt: skip


@pytest.mark.parametrize("change", ODD)
def test_a_row_that_cannot_be_read_hides_no_other(path, change):
    store = Store(path)
    store.begin("next", "chain")
    store.close()
    sql(path, f"UPDATE runs SET {change} WHERE number = 1")
    store = Store(path)
    assert [r.id for r in store.runs()] == ["r2", "r1"]
    found = store.run("r1")
    assert datetime.fromisoformat(found.started).tzinfo
    assert (type(found.cost), type(found.tokens), type(found.inputs), type(found.source)) == (float, int, dict, str)
    store.close()


# --- size ---

BIG = ["".join(map(str, range(9))) * 40 for _ in range(INLINE // 100)]


def bytes_of(path):
    return sum(f.stat().st_size for f in path.parent.iterdir())


def test_a_large_value_is_stored_once_for_all_runs_and_comes_back_whole(path):
    store = Store(path)
    ids = []
    for _ in range(20):
        ids.append(store.begin("big", "chain", inputs={"df": BIG, "n": 1}))
        span = {"id": "a#1", "input": BIG, "output": BIG}
        store.save(ids[-1], "done", {**RECORD, "inputs": {"df": BIG}, "output": BIG, "spans": [span]}, [])
        store.journal(ids[-1]).keep("a#1", "k", BIG)
    assert sql(path, "SELECT count(*) FROM blobs") == [[(1,)]]
    run = store.run(ids[0])
    assert store.inputs(run) == {"df": BIG, "n": 1}
    assert (run.record["inputs"]["df"], run.record["output"], run.record["spans"][0]["input"]) == (BIG, BIG, BIG)
    assert store.journal(ids[5]).recall("a#1", "k").value == BIG
    assert bytes_of(path) < 3 * 20 * len(str(BIG)) / 4
    for id_ in ids:
        assert sql(path, "SELECT count(*) FROM blobs") == [[(1,)]]
        store.forget(id_)
    assert sql(path, "SELECT count(*) FROM blobs", "SELECT count(*) FROM uses") == [[(0,)], [(0,)]]
    store.close()


def test_a_value_beyond_the_limit_is_not_kept_and_the_run_says_so(path, monkeypatch):
    monkeypatch.setattr("orchmagic.storage.values.LARGEST", 2 * INLINE)
    store = Store(path)
    huge = "x" * (3 * INLINE)
    id_ = store.begin("huge", "chain", inputs={"df": huge})
    store.save(id_, "done", {**RECORD, "output": huge}, [])
    run = store.run(id_)
    with pytest.raises(InputError, match=r"cannot go on in another kernel.*df.*Run its cell again"):
        store.inputs(run)
    assert "not kept" in run.record["output"]
    assert sql(path, "SELECT count(*) FROM blobs") == [[(0,)]]
    assert LARGEST == 32 * 2**20
    store.close()


@pytest.mark.parametrize(
    ("keeping", "left"),
    [
        (Keeping(), 13),
        (Keeping(runs=3), 6),  # three of the batch, and the others
        (Keeping(days=-1, active_days=-1), 1),  # all but the pinned one
        (Keeping(size=1), 4),  # the latest of each name, and the pinned one
    ],
)
def test_pruning_keeps_pinned_runs_and_a_batch_pushes_no_other_run_out(path, keeping, left):
    store = Store(path)
    ids = [store.begin(name, "chain") for name in ("a", *["batch"] * 10, "a")]
    for id_ in ids:
        store.save(id_, "done", RECORD, [])
    store.pin(ids[0])
    gone = []
    store.prune(keeping, gone.extend)
    store.database.flush()
    kept = [r.id for r in store.runs(100)]
    assert (len(kept), len(gone)) == (left, 13 - left)
    assert ids[0] in kept
    store.pin(ids[0], pinned=False)
    with pytest.raises(InputError, match="is not in the history"):
        store.pin("r99")
    store.close()


# --- a history that another program has locked ---


@pytest.fixture
def locked(path):
    """The lock of another program; call it to release it."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("COMMIT")


def test_what_is_recorded_under_a_lock_waits_in_memory_and_is_written_then(path, locked, monkeypatch):
    monkeypatch.setattr(WriterThread, "SAY", 0.05)
    store = Store(path)
    journal = store.journal("r1")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(100):
            journal.keep(f"a#{number}", "k", number)
        store.save("r1", "failed", RECORD, [])
        assert [journal.recall(f"a#{n}", "k").value for n in range(100)] == [*range(100)]
        assert not store.database.flush(0.5)
    assert ["another program has locked it" in str(w.message) for w in told] == [True]
    locked()
    assert store.database.flush()
    store.close()
    again = Store(path)
    assert (again.run("r1").status, again.journal("r1").recall("a#99", "k").value) == ("failed", 99)
    again.close()


async def test_an_answer_is_used_once_it_is_on_disk_and_a_lock_that_lasts_is_said_and_not_waited_for(
    path, locked, monkeypatch
):
    monkeypatch.setattr(WriterThread, "SAY", 0.5)
    store = Store(path)
    journal = store.journal("r1")
    await journal.settled()  # nothing was kept
    journal.keep("a#1", "k", 1)
    waiting = [asyncio.create_task(journal.settled()) for _ in range(3)]
    _, pending = await asyncio.wait(waiting, timeout=0.05)
    assert len(pending) == 3
    with pytest.warns(StoreWarning, match="another program has locked it"):
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
    journal.keep("a#2", "k", 2)
    await asyncio.wait_for(journal.settled(), 0.1)  # it is known to be locked
    assert sql(path, "SELECT count(*) FROM journal") == [[(0,)]]
    locked()
    assert store.database.flush()
    for number in range(3, 40):
        journal.keep(f"a#{number}", "k", number)
        await journal.settled()
        assert sql(path, "SELECT count(*) FROM journal") == [[(number,)]]
    store.close()


@pytest.mark.parametrize("posts", [1, 64, WriterThread.AT_ONCE])
async def test_what_a_turn_of_the_loop_posts_is_one_commit_and_wakes_no_thread(path, posts):
    store = Store(path)
    journal = store.journal("r1")
    store.database.read("SELECT 1")
    said = []
    store.database._connection.set_trace_callback(said.append)

    async def answered(number):
        journal.keep(f"a#{number}", "k", number)
        await journal.settled()
        return sql(path, f"SELECT count(*) FROM journal WHERE id = 'a#{number}'")

    assert await asyncio.gather(*map(answered, range(posts))) == [[[(1,)]]] * posts
    assert said.count("COMMIT") == 1
    assert store.database._writer._thread is None
    store.close()


async def test_more_than_fits_a_transaction_is_written_by_the_thread(path):
    store = Store(path)
    posts = WriterThread.AT_ONCE + 5
    for number in range(posts):
        store.journal("r1").keep(f"a#{number}", "k", number)
    await store.database.settled()
    assert sql(path, "SELECT count(*) FROM journal") == [[(posts,)]]
    assert store.database._writer._thread is not None
    store.close()


async def test_a_wide_record_is_written_by_the_thread_and_after_what_was_posted_before(path):
    store = Store(path)
    store.journal("r1").keep("a#1", "k", 1)
    store.save("r1", "done", {**RECORD, "spans": [{"id": f"a#1/{i}"} for i in range(2_000)]}, [])
    assert store.database._writer._thread is not None
    await store.database.settled()
    assert sql(path, "SELECT count(*) FROM journal") == [[(1,)]]
    assert len(store.run("r1").record["spans"]) == 2_000
    store.close()


async def test_a_loop_that_stops_before_its_turn_ends_loses_nothing(path):
    store = Store(path)

    async def posts():
        store.journal("r1").keep("a#1", "k", 1)

    def one_turn():
        loop = asyncio.new_event_loop()
        ran = loop.create_task(posts())
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert ran.done()
        loop.close()

    await asyncio.to_thread(one_turn)
    assert await asyncio.to_thread(store.database.flush)
    assert sql(path, "SELECT count(*) FROM journal") == [[(1,)]]
    store.close()


def test_a_record_is_whole_when_something_posted_with_it_fails(path):
    store = Store(path)
    with store.database._lock:  # both are posted before the thread begins
        store.save("r1", "done", {**RECORD, "spans": (Span("a#1", None, "call", "a", "done", 0.0, 1.0),)}, [])
        store.database.post(lambda execute: execute("INSERT INTO nowhere VALUES (1)"))
    with pytest.warns(StoreWarning, match="no such table: nowhere"):
        assert store.database.flush()
    assert [span["id"] for span in store.run("r1").record["spans"]] == ["a#1"]
    store.close()


async def test_who_waits_when_the_session_is_closed_goes_on(path, locked, monkeypatch):
    monkeypatch.setattr("orchmagic.storage.database.PATIENCE", 0.1)
    store = Store(path)
    store.journal("r1").keep("a#1", "k", 1)
    waiting = asyncio.create_task(store.database.settled())
    await asyncio.sleep(0)
    with pytest.warns(StoreWarning, match="what happened last is lost"):
        await asyncio.to_thread(store.close)
    await asyncio.wait_for(waiting, 10)


def test_what_is_written_together_fails_alone(path):
    store = Store(path)
    database, journal = store.database, store.journal("r1")
    done = {}
    with database._lock:  # the thread waits until all are posted
        for number in range(250):
            value = object() if number in {3, 120, 249} else number
            journal.keep(f"a#{number}", "k", value)
            database.post(lambda execute: execute("SELECT 1"), lambda good, n=number: done.update({n: good}))
        database.post(lambda execute: execute("INSERT INTO nowhere VALUES (1)"), lambda good: done.update(bad=good))
    with pytest.warns(StoreWarning, match="no such table: nowhere"):
        assert database.flush()
    assert done == {**dict.fromkeys(range(250), True), "bad": False}
    assert sql(path, "SELECT count(*), sum(value) FROM journal") == [[(247, sum(range(250)) - 3 - 120 - 249)]]
    store.close()


def test_a_write_waits_for_the_lock_and_for_all_that_was_recorded_before(path, locked):
    store = Store(path)
    store.journal("r1").keep("a#1", "k", "the answer that led to the write")
    claimed = []
    waiting = threading.Thread(target=lambda: claimed.append(store.ledger.claim("pay", "A-9", "pay('A-9')", "r1")))
    waiting.start()
    waiting.join(0.2)
    assert claimed == []
    locked()
    waiting.join(20)
    assert claimed[0].mine
    assert sql(path, "SELECT count(*) FROM journal") == [[(1,)]]
    store.close()


def test_a_write_that_waits_in_vain_is_not_done(path, locked, monkeypatch):
    monkeypatch.setattr("orchmagic.storage.writes.LOCKED", 0.1)
    store = Store(path)
    with pytest.raises(StoreError, match="locked"):
        store.ledger.claim("pay", "A-9", "pay('A-9')", "r1")
    locked()
    assert store.ledger.claim("pay", "A-9", "pay('A-9')", "r1").mine
    store.close()
