"""What a run recorded is found again by what was asked, first in its own journal, then in its parent's."""

import pytest

from orchmagic.storage.journal import JournalEntry, NoJournal
from orchmagic.storage.runs import Store
from orchmagic.storage.sqlite_files import StoreWarning


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "history" / "runs.db")
    yield made
    made.close()


@pytest.fixture(params=["disk", "memory"])
def journal(request, store):
    return store.journal("r1") if request.param == "disk" else NoJournal()


def test_what_was_kept_is_found_again(journal):
    journal.keep("a#1.1", "asked", {"text": "yes"})
    assert journal.recall("a#1.1", "asked") == JournalEntry({"text": "yes"}, own=True)


def test_a_changed_question_is_not_found(journal):
    journal.keep("a#1.1", "asked", 1)
    assert journal.recall("a#1.1", "asked otherwise") is None
    assert journal.recall("a#2.1", "asked") is None


def test_nothing_is_a_value_too(journal):
    journal.keep("a#1", "k", None)
    assert journal.recall("a#1", "k") == JournalEntry(None, own=True)


def test_the_latest_value_counts(journal):
    journal.keep("a#1", "k", 1)
    journal.keep("a#1", "k2", 2)
    assert journal.recall("a#1", "k") is None
    assert journal.recall("a#1", "k2") == JournalEntry(2, own=True)


@pytest.mark.parametrize(
    "value", ["half \ud800 a pair", "\x00 zero", "🌍", 1.5e300, float("inf"), [None, True], {"a": {"b": []}}]
)
def test_any_json_comes_back_as_it_was(journal, value):
    journal.keep("id of a model \ud800", "k", value)
    assert journal.recall("id of a model \ud800", "k") == JournalEntry(value, own=True)


def test_another_run_has_a_journal_of_its_own(store):
    store.journal("r1").keep("a#1", "k", 1)
    assert store.journal("r2").recall("a#1", "k") is None


def test_a_journal_outlives_its_process(tmp_path):
    first = Store(tmp_path / "runs.db")
    first.journal("r1").keep("a#1", "k", 1)
    first.close()
    second = Store(tmp_path / "runs.db")
    assert second.journal("r1").recall("a#1", "k") == JournalEntry(1, own=True)
    second.close()


# --- replay ---


def test_a_replay_finds_what_its_parent_recorded(store):
    store.journal("r1").keep("a#1", "k", 1)
    assert store.journal("r2", parent="r1").recall("a#1", "k") == JournalEntry(1, own=False)


def test_the_same_question_under_another_id_is_served_as_often_as_it_is_asked(store):
    store.journal("r1").keep("a#1", "k", 1)
    replay = store.journal("r2", parent="r1")
    assert [replay.recall(id_, "k") for id_ in ("b#1", "b#2")] == [JournalEntry(1, own=False)] * 2


def test_under_the_same_id_comes_before_under_another(store):
    parent = store.journal("r1")
    for id_, value in (("vote#1/v1.1", "yes"), ("vote#1/v2.1", "no")):
        parent.keep(id_, "k", value)
    replay = store.journal("r2", parent="r1")
    assert [replay.recall(f"vote#1/v{i}.1", "k").value for i in (2, 1)] == ["no", "yes"]


def test_its_own_record_comes_first(store):
    store.journal("r1").keep("a#1", "k", "then")
    replay = store.journal("r2", parent="r1")
    replay.keep("a#1", "k", "now")
    assert replay.recall("a#1", "k") == JournalEntry("now", own=True)


def test_what_is_to_be_fresh_is_not_asked_of_the_parent(store):
    parent = store.journal("r1")
    parent.keep("a#1", "k", 1)
    parent.keep("b#1", "l", 2)
    fork = store.journal("r2", parent="r1", fresh=lambda id_: id_.startswith("b#"))
    assert fork.recall("b#1", "l") is None
    assert fork.recall("a#1", "k") == JournalEntry(1, own=False)
    fork.keep("b#1", "l", 3)
    assert fork.recall("b#1", "l") == JournalEntry(3, own=True)  # its own record is


def test_a_replay_can_be_replayed_when_its_parent_is_forgotten(store):
    first = store.begin("n", "chain")
    second = store.begin("n", "chain", parent=first)
    store.journal(first).keep("a#1", "k", 1)
    store.journal(second, parent=first).recall("a#1", "k")
    store.forget(first)
    assert store.journal("r3", parent=second).recall("a#1", "k") == JournalEntry(1, own=False)
    assert store.journal(second).recall("a#1", "k") == JournalEntry(1, own=False)  # it still paid nothing


# --- trouble ---


def test_what_the_disk_does_not_take_is_kept_in_memory(store):
    journal = store.journal("r1")
    journal.keep("a#1", "k", 1)
    store.database.flush()
    store.database._opened().execute("PRAGMA query_only = ON")
    with pytest.warns(StoreWarning, match="cannot be written"):  # noqa: PT031 - written on a thread
        journal.keep("b#1", "k", 2)
        store.database.flush()
    journal.keep("c#1", "k", 3)  # told once
    assert [journal.recall(f"{n}#1", "k").value for n in "abc"] == [1, 2, 3]


def test_what_a_parent_paid_stays_so_where_the_disk_does_not_take_it(store):
    store.journal("r1").keep("a#1", "k", 1)
    journal = store.journal("r2", parent="r1")
    store.database.flush()
    store.database._opened().execute("PRAGMA query_only = ON")
    with pytest.warns(StoreWarning, match="cannot be written"):  # noqa: PT031 - written on a thread
        found = [journal.recall("a#1", "k") for _ in range(2)]
        store.database.flush()
    assert found == [JournalEntry(1, own=False)] * 2


def test_a_damaged_row_is_a_warning_and_asked_again(store):
    journal = store.journal("r1")
    journal.keep("a#1", "k", 1)
    store.database.write("UPDATE journal SET value = '{'")
    with pytest.warns(StoreWarning, match="called again"):
        assert journal.recall("a#1", "k") is None


def test_what_was_forgotten_is_gone_at_once_and_what_is_kept_then_stays(store):
    journal = store.journal("r1")
    journal.keep("a#1.1", "asked", "bad")
    journal.keep("a#1/2.1", "asked", "of an item")
    assert store.database.flush()
    with store.database._lock:  # nothing is deleted yet
        journal.forget("a#1")
        assert journal.recall("a#1.1", "asked") is None
        journal.keep("a#1.1", "asked", "good")
        assert journal.recall("a#1.1", "asked").value == "good"
    assert store.database.flush()
    assert journal.recall("a#1.1", "asked").value == "good"
    assert journal.recall("a#1/2.1", "asked").value == "of an item"
