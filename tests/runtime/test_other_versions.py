"""A run that another version stored in another form is told in one line, and hides no other run."""

import json
import sqlite3
from contextlib import closing

import pytest

from orchmagic import Reply
from orchmagic.errors import InputError
from orchmagic.notebook import commands, panel

CELLS = ("%%chain plain\na\n    A {{ t }}\n", '%%chain careful\na\n    A {{ t }}\napprove "ok?"\nb\n    B {{ a }}\n')


@pytest.fixture
def runs(notebook, tmp_path):
    """A done run r1 and a waiting run r2, no longer in memory; the file of the history."""
    notebook.script(lambda body: Reply("yes"))
    assert [notebook.run(cell, t="x").status for cell in CELLS] == ["done", "waiting"]
    notebook.session.runs.clear()
    return notebook.session.services.history.store.database.path


RECORDS = {
    "a newer version": ("json_set(record, '$.version', 99)", "trace version 99: this orchmagic reads version 1"),
    "a field more": ("json_set(record, '$.brandnew', 5)", "it holds 'brandnew', which this orchmagic does not know"),
    "a span with a field more": ("json_set(record, '$.spans[0].brandnew', 5)", "it holds 'brandnew', which"),
    "a field less": ("json_remove(record, '$.picture')", "it lacks 'picture': another version of orchmagic stored it"),
    "spans of another form": ("json_set(record, '$.spans', 7)", "it was stored in another form"),
    "usage of another form": ("json_set(record, '$.usage', json('[1]'))", "it was stored in another form"),
    "no record": ("'[]'", ""),
}


@pytest.mark.parametrize("change", RECORDS)
def test_a_record_of_another_form_is_one_line_and_the_lists_go_on(notebook, runs, change):
    record, told = RECORDS[change]
    with closing(sqlite3.connect(runs, isolation_level=None)) as file:
        file.execute(f"UPDATE runs SET record = {record}")
    assert [r.id for r in notebook.session.services.history.store.runs()] == ["r2", "r1"]
    listed = panel.ask(notebook.session, json.dumps(["overview"])).data["found"]
    assert [row["id"] for row in listed["runs"]] == ["r2", "r1"]
    assert "error" in panel.ask(notebook.session, json.dumps(["record", "r1"])).data
    if change != "no record":
        with pytest.raises(InputError, match=f"run r1 cannot be read here: {told}"):
            commands.run(notebook.session, "show r1")


@pytest.mark.parametrize(
    "change", ["json_set(events, '$[0].brandnew', 1)", "json_set(events, '$[0].event', 'Later')", "'[7]'"]
)
def test_a_waiting_run_with_events_of_another_form_starts_again_from_its_record(notebook, runs, change):
    with closing(sqlite3.connect(runs, isolation_level=None)) as file:
        file.execute(f"UPDATE runs SET events = {change} WHERE status = 'waiting'")
    run = commands.run(notebook.session, "show r2")
    assert (run.status, "resume() starts again from the record" in run.reason) == ("cancelled", True)
    assert run.resume().status == "waiting"
    assert run.approve().status == "done"
