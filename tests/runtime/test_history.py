"""The history of a session: kept apart for each place, and let go of when it grows old."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchmagic import Reply, Script, Session, install
from orchmagic.notebook import commands
from orchmagic.storage.runs import Keeping

WAITS = 'draft\n    Draft {{ topic }}\napprove "Send it?"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(Script(lambda body: "a draft"))
    return tmp_path


def session(folder: Path, **more: str) -> Session:
    environ = {"ORCHMAGIC_MODEL": "scripted", "ORCHMAGIC_HISTORY_DIR": str(folder), **more}
    return Session({"topic": "bees"}, environ=environ)


def rows(file: Path, sql: str) -> list[tuple]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_first_run_of_a_session_lets_go_of_old_runs_and_their_checkpoints(folder, monkeypatch):
    monkeypatch.setattr("orchmagic.storage.runs.KEEPING", Keeping(runs=1, active_days=-1))
    for _ in range(2):
        one = session(folder)
        for _ in range(2):
            assert one.define("chain", "mail", WAITS)().status == "waiting"
        one.close()
    assert rows(folder / "runs.sqlite", "SELECT number FROM runs") == [(2,), (3,), (4,)]
    threads = rows(folder / "checkpoints.sqlite", "SELECT DISTINCT thread_id FROM checkpoints")
    assert sorted(threads) == sorted(rows(folder / "runs.sqlite", "SELECT uid FROM runs"))


def test_only_their_owner_reads_the_files(folder):
    one = session(folder / "new")
    one.define("chain", "mail", WAITS)()
    one.close()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (folder / "new").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (folder / "new").stat().st_mode & 0o777 == 0o700


def test_with_history_off_nothing_is_written_and_pauses_work(folder):
    one = session(folder / "none", ORCHMAGIC_HISTORY="off")
    run = one.define("chain", "mail", WAITS)()
    assert run.approve().status == "done"
    one.close()
    assert not (folder / "none").exists()


def test_a_changed_place_is_another_history(folder):
    config = {"history_dir": str(folder / "a"), "model": "scripted"}
    one = Session({"topic": "bees"}, environ={}, config=lambda: config)
    one.define("chain", "mail", WAITS)()
    config["history_dir"] = str(folder / "b")
    one.reload()
    one.define("chain", "mail", WAITS)()
    one.close()
    assert [len(rows(folder / f / "runs.sqlite", "SELECT number FROM runs")) for f in "ab"] == [1, 1]


def test_keys_are_in_no_file(folder):
    key = "sk-canary-1234567890"
    one = session(folder, OPENAI_API_KEY=key)
    one.define("chain", "mail", WAITS)()
    one.close()
    assert all(key.encode() not in p.read_bytes() for p in folder.iterdir() if p.is_file())


def test_of_the_runs_that_ended_only_the_newest_are_held_in_memory(notebook):
    notebook.script(lambda _: "x")
    made = notebook.define("%%chain many --no-cache\nsay\n    Hello {{ n }}")
    for n in range(130):
        made(n=n)
    assert len(notebook.session.runs) == 100
    assert notebook.session.runs[-1].inputs == {"n": 129}
    first = str(commands.run(notebook.session, "runs")).splitlines()[1].split()[0]
    assert commands.run(notebook.session, f"show {first}").output == "x"


def test_a_run_that_waits_is_not_let_go(notebook):
    notebook.script(lambda _: "x")
    waits = notebook.run('%%chain asks --no-cache\nsay\n    Hello\napprove "ok?"')
    made = notebook.define("%%chain many --no-cache\nsay\n    Hello {{ n }}")
    for n in range(130):
        made(n=n)
    assert waits.status == "waiting"
    assert waits in notebook.session.runs


def test_a_run_that_paused_and_then_failed_begins_again_without_what_it_had_before(notebook):
    notebook.script("one", Reply(fault="400"), "two")
    run = notebook.run('%%chain\na\n    A {{ x }}\napprove "Fine?"\nb\n    B {{ a }}\n', x="x")
    assert run.approve().status == "failed"
    assert run.resume().status == "done"
    assert (run.output, len(notebook.scripted.requests)) == ("two", 3)
    assert {span.id.rpartition("#")[2] for span in run.record.steps} == {"1"}


def test_a_stored_cell_is_shown_before_it_runs(folder):
    told = []

    def note(text):
        told.append("the cell's code runs")
        return text

    cell = "x = note(topic)"
    first = session(folder)
    first.services.namespace["note"] = note
    run = first.define("chain", "mail", cell)()
    first.close()
    told.clear()
    later = Session({"topic": "bees", "note": note}, environ=first.services.environ, notify=told.append)
    later.lookup.run(run.id).replay(topic="cats")
    later.lookup.run(run.id).replay(topic="cats")
    later.close()
    assert [said.splitlines()[0] for said in told] == [
        "Run r1 goes on with this cell of the run history:",
        "the cell's code runs",
        "the cell's code runs",
    ]
    assert cell in told[0]


def test_a_run_finds_its_own_checkpoint_and_none_of_a_run_with_the_same_id(folder):
    places = [folder / "mine", folder / "theirs"]
    found = []
    for place in places:
        one = session(place)
        found.append(one.define("chain", "mail", WAITS)())
        one.close()
    mine, theirs = found
    assert (mine.id, theirs.id) == ("r1", "r1")
    assert mine.uid != theirs.uid
    (places[1] / "checkpoints.sqlite").replace(places[0] / "checkpoints.sqlite")  # as in one database of two machines
    later = session(places[0])
    run = later.lookup.run("r1")
    assert run.status == "cancelled"  # a checkpoint named r1 would be read, and the run would wait
    assert run.resume().status == "waiting"
    later.close()
