"""The row history: old rows and too many go a few at a time, and nobody waits for all of them."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from orchmagic.storage import row_store
from orchmagic.storage.row_store import RowStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.sqlite"


def filled(path, count, days=0):
    """A store with `count` rows that were done some days ago; then its clock says NOW."""
    clock = [NOW - timedelta(days=days)]
    store = RowStore(path, clock=lambda: clock[0])
    for number in store.begin("a", [f"{days} days, {n}" for n in range(count)]).values():
        store.journal(number).keep("x#1", "k", 1)
        store.save(number, {"status": "done"}, {}, final=False)
    store.database.flush()
    clock[0] = NOW
    return store


def numbers(store):
    return [row["number"] for row in store.database.read("SELECT number FROM rows ORDER BY number")]


def pruned(store, steps):
    """The numbers that are left when all steps have been made, each of which posts the next one."""
    store.prune()
    for _ in range(steps):
        store.database.flush()
    return numbers(store)


def test_rows_of_last_year_go_with_their_journals(path, monkeypatch):
    monkeypatch.setattr(row_store, "_A_FEW", 2)
    filled(path, 5, days=366).close()
    store = filled(path, 3, days=364)
    assert pruned(store, 4) == [6, 7, 8]
    assert store.journal(5).recall("x#1", "k") is None
    assert store.journal(6).recall("x#1", "k") is not None
    store.close()


def test_of_a_file_that_is_too_large_the_oldest_tenth_goes(path, monkeypatch):
    store = filled(path, 30)
    assert pruned(store, 3) == [*range(1, 31)]
    monkeypatch.setattr(row_store, "_SIZE", 1)
    monkeypatch.setattr(row_store, "_A_FEW", 3)
    assert pruned(store, 4) == [*range(5, 31)]
    store.close()


async def test_an_event_loop_deletes_none_itself(path, monkeypatch):
    store = filled(path, 3, days=400)
    seen, delete = [], row_store._delete
    monkeypatch.setattr(row_store, "_delete", lambda *given: (seen.append(threading.current_thread()), delete(*given)))
    store.prune()
    await store.database.settled()
    assert len(seen) == 3
    assert threading.current_thread() not in seen
    store.close()


def test_who_waits_for_what_was_posted_does_not_wait_for_what_is_posted_then(path):
    store, more = RowStore(path), [True]

    def step(execute):
        execute("SELECT 1")

    def again(_):
        if more:
            store.database.post(step, again, long=True)

    again(True)
    assert store.database.flush(20)
    assert store.begin("a", ["k"]) == {"k": 1}
    more.clear()
    store.close()
