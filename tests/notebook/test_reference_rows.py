"""Rows from the history, and files of rows that grow run by run."""

from __future__ import annotations

import json

import pytest

import orchmagic
from orchmagic.errors import InputError
from orchmagic.notebook import commands

CELL = "%%chain triage\nsay\n    About {{ ticket }}\n"


@pytest.fixture
def triage(notebook):
    notebook.script(lambda body: body["messages"][-1]["content"].upper())
    return notebook.define(CELL)


def test_rows_are_the_latest_runs_and_equal_inputs_are_one(triage):
    for ticket in ("a", "b", "c", "b"):
        triage(ticket=ticket)
    found = orchmagic.rows(triage)
    assert [(row["ticket"], row["output"], row["_status"]) for row in found] == [
        ("a", "ABOUT A", "done"),
        ("c", "ABOUT C", "done"),
        ("b", "ABOUT B", "done"),
    ]
    assert [row["ticket"] for row in orchmagic.rows(triage, last=2)] == ["c", "b"]


def test_rows_of_no_run_and_of_no_number_are_refused(triage):
    with pytest.raises(InputError, match="the history has no run of 'triage'"):
        orchmagic.rows(triage)
    triage(ticket="a")
    with pytest.raises(InputError, match="last is 0: write a whole number"):
        orchmagic.rows(triage, last=0)


def test_rows_can_be_evaluated(triage):
    for ticket in ("a", "b"):
        triage(ticket=ticket)
    result = orchmagic.evaluate(triage, on=orchmagic.rows(triage), metrics={"same": "output == row.output"})
    assert result.details[0].metrics["same"].value == 1.0


def test_a_run_is_added_to_a_file_once(notebook, triage, tmp_path):
    file = tmp_path / "tickets.jsonl"
    first, second = triage(ticket="ä"), triage(ticket="b")

    def add(line):
        return commands.run(notebook.session, f"add {line}")

    assert add(f"{first.id} {file} severity=high level=3") == f"Added the row of {first.id} in {file}: 1 row."
    add(f"{second.id} {file} severity=low")
    assert add(f"{first.id} {file} severity=low") == f"Replaced the row of {first.id} in {file}: 2 rows."
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(row["ticket"], row["severity"]) for row in rows] == [("ä", "low"), ("b", "low")]
    assert [*rows[0]] == sorted(rows[0])
    for line, words in (
        (f"{first.id} {file} severity", "is no expected value: write NAME=VALUE"),
        (f"{first.id} {tmp_path / 'a.csv'} a=1", "its name must end in .jsonl"),
        (f"{first.id} {file} ticket=x", "'ticket' is an input of the run"),
    ):
        with pytest.raises(InputError, match=words):
            add(line)
    assert len(file.read_text("utf-8").splitlines()) == 2
