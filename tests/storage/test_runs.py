"""The history survives its kernels, is shared by several, and is never what a session fails at."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from orchmagic.core import process
from orchmagic.errors import InputError, StoreError
from orchmagic.storage.runs import Keeping, Store
from orchmagic.storage.sqlite_files import StoreWarning

RECORD = {"cost": 0.25, "usage": {"input": 7, "output": 3}, "seconds": 1.5, "spans": [{"output": "\ud800"}]}
WHAT = {
    "source": "%%chain triage\nstep \ud800",
    "sources": {"inner": "%%chain inner"},
    "options": {"model": "small"},
    "inputs": {"ticket": "half \ud83d a pair"},
    "notebook": "notes \ud800.ipynb",
    "user": "ada",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history" / "runs.db"


@pytest.fixture
def store(path):
    made = Store(path)
    yield made
    made.close()


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


# --- runs ---


def test_a_run_comes_back_with_all_that_was_known_of_it(path):
    first = Store(path)
    id_ = first.begin("triage", "chain", parent="r0", **WHAT)
    first.save(id_, "done", RECORD, [{"type": "RunStarted"}])
    first.close()
    second = Store(path)
    found = second.run(id_)
    second.close()
    assert (found.id, found.name, found.pattern, found.status, found.parent) == ("r1", "triage", "chain", "done", "r0")
    assert (found.cost, found.tokens, found.seconds) == (0.25, 10, 1.5)
    assert found.record == RECORD
    assert found.events == [{"type": "RunStarted"}]
    assert {name: getattr(found, name) for name in WHAT} == WHAT | {"notebook": "notes \\ud800.ipynb"}


def test_ids_are_never_given_out_again(store):
    ids = [store.begin("a", "chain") for _ in range(3)]
    assert ids == ["r1", "r2", "r3"]
    assert store.forget("r3")
    assert not store.forget("r3")
    assert store.begin("a", "chain") == "r4"


def test_runs_are_listed_newest_first_and_light(store):
    for name in ("a", "b", "a"):
        store.save(store.begin(name, "chain", **WHAT), "done", RECORD, [])
    assert [r.id for r in store.runs()] == ["r3", "r2", "r1"]
    assert [r.id for r in store.runs(limit=1)] == ["r3"]
    assert [r.id for r in store.runs(name="a")] == ["r3", "r1"]
    assert store.runs()[0].record is None
    assert store.runs()[0].cost == 0.25


@pytest.mark.parametrize(
    "id_", ["r9", "", "r", "9", "w1", "r-1", "r1; DROP TABLE runs", "r" + "9" * 40, "r\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_an_unknown_run_is_a_clear_error(store, id_):
    store.begin("a", "chain")
    with pytest.raises(InputError, match="%orch runs lists"):
        store.run(id_)


def test_a_run_under_way_runs_and_is_not_taken(store):
    id_ = store.begin("a", "chain")
    assert store.run(id_).status == "running"
    assert not store.take(id_)


def test_a_run_whose_process_was_killed_is_lost_and_can_be_taken_once(path):
    child = subprocess.Popen(
        [sys.executable, "-c", f"{CHILD}\nprint(store.begin('a', 'chain'), flush=True)\nsys.stdin.read()", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    id_ = child.stdout.readline().strip()
    mine, other = Store(path), Store(path)
    assert mine.run(id_).status == "running"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert mine.run(id_).status == mine.runs()[0].status == "lost"
    assert [mine.take(id_), other.take(id_)] == [True, False]
    assert other.run(id_).status == "running"
    assert other.run(id_).pid == os.getpid()
    mine.close()
    other.close()


def test_a_run_that_somebody_else_went_on_with_is_not_taken(store):
    id_ = store.begin("a", "chain")
    store.save(id_, "done", RECORD, [])
    assert not store.take(id_, {"waiting"})
    assert store.run(id_).status == "done"
    assert store.take(id_, {"waiting", "done"})
    assert store.run(id_).status == "running"


def test_a_pid_that_was_given_out_again_is_another_process(store):
    id_ = store.begin("a", "chain")
    store.database.write("UPDATE runs SET life = 'an earlier container'")
    assert store.run(id_).status == "lost"


def test_of_another_machines_process_nobody_says_that_it_is_gone():
    assert not process.Process(1, "elsewhere", "x").gone
    assert process.Process(2**22 + 1, process.this().host, "x").gone  # above the largest pid
    assert not process.Process(os.getppid(), process.this().host, "x").gone


# --- pruning ---


def pruned(store, keeping):
    """The runs that are deleted."""
    gone = []
    store.prune(keeping, gone.extend)
    store.database.flush()
    return gone


def test_the_oldest_runs_go_with_their_journals(store):
    ids = [store.begin("a", "chain") for _ in range(5)]
    for id_ in ids:
        store.save(id_, "done", RECORD, [])
        store.journal(id_).keep("a#1", "k", 1)
    assert pruned(store, Keeping(runs=2)) == ["r1", "r2", "r3"]
    assert [r.id for r in store.runs()] == ["r5", "r4"]
    assert store.journal("r3").recall("a#1", "k") is None
    assert store.journal("r4").recall("a#1", "k") is not None


def test_a_run_that_waits_stays_until_it_is_old(path):
    clock = Clock()
    store = Store(path, clock)
    for status in ("waiting", "done"):
        store.save(store.begin("a", "chain"), status, RECORD, [])
    clock.now += timedelta(days=29)
    assert pruned(store, Keeping(runs=0)) == ["r2"]
    clock.now += timedelta(days=2)
    assert pruned(store, Keeping(runs=0)) == ["r1"]
    store.close()


# --- threads ---

HELLO = [
    {"role": "user", "content": "hello \ud800"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
]


def test_a_conversation_is_kept_in_order(store):
    store.extend("support", "r1", HELLO)
    store.extend("support", "r2", [{"role": "user", "content": [{"type": "text", "text": "more"}]}])
    store.extend("other", "r2", HELLO[:1])
    assert store.thread("support")[:2] == HELLO
    assert len(store.thread("support")) == 3
    assert store.threads() == {"other": 1, "support": 3}


def test_a_run_that_is_driven_again_says_it_once(store):
    store.extend("support", "r1", HELLO)
    store.extend("support", "r1", HELLO)
    assert store.thread("support") == HELLO


def test_a_conversation_is_cleared_by_name(store):
    store.extend("support", "r1", HELLO)
    store.extend("other", "r1", HELLO)
    assert store.clear_thread("support") == 2
    assert store.clear_thread("support") == 0
    assert store.thread("support") == []
    assert store.thread("other") == HELLO


# --- the file ---


def test_folder_and_files_are_private(store, path):
    os.umask(old := os.umask(0))
    try:
        store.begin("a", "chain")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()} == {0o600}


def test_a_folder_that_was_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    store = Store(tmp_path / "runs.db")
    store.begin("a", "chain")
    store.close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_nothing_is_opened_before_it_is_used(path):
    Store(path).close()
    assert not path.parent.exists()


CHILD = (
    "import sys\nfrom pathlib import Path\nfrom orchmagic.storage.runs import Store\nstore = Store(Path(sys.argv[1]))\n"
)
MANY = (
    CHILD
    + """
sys.stdin.readline()
for number in range(100):
    id_ = store.begin(sys.argv[2], "chain")
    store.journal(id_).keep("a#1", "k", number)
    store.save(id_, "done", {}, [])
    store.extend("shared", id_, [{"role": "user", "content": str(number)}])
store.close()
"""
)


@pytest.mark.slow
def test_several_kernels_write_a_new_file_at_once_and_nothing_is_lost(path):
    command = [sys.executable, "-W", "error", "-c", MANY, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, name], **pipes) for name in "abc"]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate()[1] for child in children] == [""] * 3
    store = Store(path)
    assert {name: len(store.runs(1000, name)) for name in "abc"} == dict.fromkeys("abc", 100)
    assert len(store.thread("shared")) == 300
    assert all(store.journal(f"r{n}").recall("a#1", "k") for n in range(1, 301))
    store.close()
    with closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_threads_of_one_kernel_share_it(store):
    def work(name):
        for number in range(50):
            store.journal("r1").keep(f"{name}#{number}", "k", number)

    threads = [threading.Thread(target=work, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.journal("r1").recall(f"{n}#{i}", "k").value == i for n in "abcd" for i in range(50))


# --- trouble: one warning, and the session works on ---


def works_on(store):
    """What a session does with its store, in the order in which it does it."""
    id_ = store.begin("a", "chain")
    journal = store.journal(id_)
    journal.keep("a#1", "k", 1)
    store.extend("t", id_, HELLO)
    store.save(id_, "done", RECORD, [])
    return journal.recall("a#1", "k").value == 1 and store.run(id_).status == "done" and len(store.thread("t")) == 2


def test_without_a_file_it_lives_as_long_as_the_kernel():
    store = Store(None)
    assert works_on(store)
    assert [r.id for r in store.runs()] == ["r1"]
    store.close()


def wreck(path):
    path.write_bytes(b"this is no database " * 500)


def a_folder(path):
    path.mkdir()


@pytest.mark.parametrize(("spoil", "why"), [(wreck, "not a database"), (a_folder, "runs.db")])
def test_a_file_that_cannot_be_used_is_told_once_and_left_alone(path, spoil, why):
    path.parent.mkdir()
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    store = Store(path)
    with pytest.warns(StoreWarning, match=why) as told:
        assert works_on(store)
    assert len(told) == 1
    assert "goes on without history" in str(told[0].message)
    store.close()
    assert before is None or path.read_bytes()[100:] == before[100:]


def test_a_file_that_is_damaged_further_in_costs_history_and_no_run(path):
    store = Store(path)
    for _ in range(100):
        works_on(store)
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\x5a" * (len(content) - 8192)  # the header and the schema stay readable
    path.write_bytes(content)
    store = Store(path)
    with pytest.warns(StoreWarning, match="malformed: .*; move the file away to begin a new one"):  # noqa: PT031 - written on a thread
        assert carries_on(store)
        store.database.flush()
    store.close()


def carries_on(store):
    """A run from its beginning to its end, whatever the disk does."""
    id_ = store.begin("a", "chain")
    journal = store.journal(id_)
    journal.keep("a#1", "k", 1)
    store.save(id_, "done", RECORD, [])
    store.extend("t", id_, HELLO)
    return journal.recall("a#1", "k").value == 1


def test_a_disk_that_is_full_costs_history_and_no_run(store):
    works_on(store)
    pages = store.database.read("PRAGMA page_count")[0][0]
    store.database.write(f"PRAGMA max_page_count = {pages}")  # sqlite's own "database or disk is full"
    journal = store.journal("r1")
    with pytest.warns(StoreWarning, match="full"):  # noqa: PT031 - written on a thread
        journal.keep("b#1", "k", "".join(map(str, range(100_000))))
        store.database.flush()
    assert journal.recall("b#1", "k").value == "".join(map(str, range(100_000)))
    assert store.run("r1").status == "done"


def test_a_run_that_cannot_be_entered_has_an_id_all_the_same(store):
    store.begin("a", "chain")
    store.database._opened().execute("PRAGMA query_only = ON")
    with pytest.warns(StoreWarning, match="cannot be written"):
        assert [store.begin("a", "chain") for _ in range(2)] == ["unsaved1", "unsaved2"]
    store.save("unsaved1", "done", RECORD, [])


def test_after_the_end_nothing_is_kept_and_nobody_complains(store, path):
    store.begin("a", "chain")
    store.close()
    store.close()
    store.save("r1", "done", RECORD, [])
    store.journal("r1").keep("a#1", "k", 1)
    assert store.runs() == []
    again = Store(path)
    assert again.run("r1").status == "running"
    again.close()


def test_several_statements_are_done_together_or_not_at_all(store):
    def twice():
        with store.database.exclusive() as execute:
            execute("INSERT INTO turns(thread, number) VALUES ('t', 1)")
            execute("INSERT INTO turns(thread, number) VALUES ('t', 1)")

    with pytest.raises(StoreError, match="cannot be written"):
        twice()
    assert store.threads() == {}
    store.extend("t", "r1", HELLO)
    assert store.threads() == {"t": 2}


def test_a_history_of_before_gets_the_column_that_it_lacks(tmp_path):
    path = tmp_path / "old.sqlite"
    first = Store(path)
    run = first.begin("triage", "chain")
    first.save(run, "done", {"cost": 0.5, "unpriced": 2, "usage": {"input": 1}}, [])
    assert first.run(run).unpriced == 2
    first.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE runs DROP COLUMN unpriced")
    again = Store(path)
    assert (again.run(run).cost, again.run(run).unpriced) == (0.5, 0)
    again.save(run, "done", {"cost": 0.5, "unpriced": 3}, [])
    assert again.runs()[0].unpriced == 3
    again.close()


@pytest.mark.parametrize(
    "record", [{}, {"cost": 0.5}, {"spans": []}, {"spans": [{"id": "a#1", "output": "\ud800,]"}, {}]}, RECORD], ids=str
)
def test_a_record_comes_back_as_it_was_stored(record):
    store = Store(None)
    run = store.begin("a", "chain")
    store.save(run, "done", record, [])
    assert store.run(run).record == record
    store.close()
