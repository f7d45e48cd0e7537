"""`triage.map`: each kind of table comes back as itself, typed, and what has an answer is not asked again."""

from __future__ import annotations

import csv
import json
from importlib import import_module

import pytest

from orchmagic import Reply
from orchmagic.errors import InputError, RunError
from orchmagic.runtime import mapping
from orchmagic.runtime.frames import read_rows

CELL = """%%chain triage --retry 0
read -> team: str, urgent: bool, stars: int, share: float
    Ticket {{ ticket }}
gate read.stars > 0
"""
TEXTS = ["ticket 1", "ticket 2", "ticket 3"]
NEW = ["team", "urgent", "stars", "share", "_status", "_error", "_verified", "_cost", "_seconds", "_run"]


def reply(body):
    number = int(body["messages"][-1]["content"].split()[-1])
    return json.dumps({"team": f"team {number}", "urgent": number == 1, "stars": number % 3, "share": number / 4})


@pytest.fixture
def triage(notebook):
    notebook.script(reply)
    return notebook.define(CELL)


def rows():
    return [{"id": i, "ticket": text} for i, text in enumerate(TEXTS)]


def checked(found):
    """`found` as dicts: the third row failed, and its values are None."""
    assert [*found[0]] == ["id", "ticket", *NEW]
    assert [row["team"] for row in found] == ["team 1", "team 2", None]
    assert [row["urgent"] for row in found] == [True, False, None]
    assert [row["stars"] for row in found] == [1, 2, None]
    assert [row["_status"] for row in found] == ["done", "done", "failed"]
    assert "is false" in found[2]["_error"]


def test_a_list_comes_back_as_a_list_and_is_not_asked_again(notebook, triage):
    checked(triage.map(rows()))
    assert len(notebook.scripted.requests) == 3
    checked(triage.map([*reversed(rows())])[::-1])
    assert len(notebook.scripted.requests) == 3
    assert notebook.session.runs == []


def test_pandas_keeps_its_index_and_missing_values(triage):
    pd = import_module("pandas")
    found = triage.map(pd.DataFrame(rows(), index=["a", "b", "c"]))
    assert [*found.index] == ["a", "b", "c"]
    assert found["urgent"].dtype == "boolean"
    assert found["urgent"].isna().tolist() == [False, False, True]
    assert (found["stars"].dtype, found["share"].dtype) == ("Int64", "Float64")
    assert [*found.columns] == ["id", "ticket", *NEW]


def test_polars_comes_back_typed(triage):
    pl = import_module("polars")
    found = triage.map(pl.DataFrame(rows()))
    assert isinstance(found, pl.DataFrame)
    assert found.schema["urgent"] == pl.Boolean
    assert found.schema["stars"] == pl.Int64
    checked(found.to_dicts())


def test_arrow_comes_back_typed(triage):
    pa = import_module("pyarrow")
    found = triage.map(pa.Table.from_pylist(rows()))
    assert isinstance(found, pa.Table)
    assert found.schema.field("urgent").type == pa.bool_()
    checked(found.to_pylist())


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_are_streamed_to_files(triage, tmp_path, ending):
    source, out = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    if ending == "parquet":
        parquet = import_module("pyarrow.parquet")
        pa = import_module("pyarrow")
        parquet.write_table(pa.Table.from_pylist(rows()), source)
    elif ending == "csv":
        source.write_text("id,ticket\n" + "".join(f"{row['id']},{row['ticket']}\n" for row in rows()))
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    assert triage.map(source, out) == out
    if ending == "parquet":
        checked(parquet.read_table(out).to_pylist())
    elif ending == "jsonl":
        checked([json.loads(line) for line in out.read_text().splitlines()])
    else:
        found = [*csv.DictReader(out.read_text().splitlines())]
        assert [row["team"] for row in found] == ["team 1", "team 2", ""]
        assert [row["stars"] for row in found] == ["1", "2", ""]
    checked(triage.map(source))


def test_a_column_of_the_name_of_a_field_is_kept(triage):
    found = triage.map([{"ticket": "ticket 1", "team": "mine"}])
    assert (found[0]["team"], found[0]["output_team"]) == ("mine", "team 1")


def test_without_an_answer_the_row_is_asked_again(notebook):
    triage = notebook.define(CELL)
    notebook.script(lambda body: Reply(fault="429"))
    found = triage.map(rows()[:1])
    assert (found[0]["_status"], found[0]["team"]) == ("no answer", None)
    notebook.script(reply)
    assert triage.map(rows()[:1])[0]["team"] == "team 1"


def test_errors_can_be_raised_after_the_last_row(notebook, triage):
    with pytest.raises(RunError, match=r"^row 3 failed; the first: row 3: .* is false"):
        triage.map(rows(), on_error="raise")
    assert len(notebook.scripted.requests) == 3


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([], "the table has no rows"),
        ([{"text": "a"}], "row 1: triage needs ticket"),
        ("nothing.csv", "there is no file 'nothing.csv'"),
        (7, "the table is of type int: write a data frame"),
    ],
)
def test_bad_tables_are_refused_before_anything_runs(notebook, triage, table, words):
    with pytest.raises(InputError) as raised:
        triage.map(table)
    assert words in str(raised.value)
    assert notebook.scripted.requests == []


def test_csv_numbers_and_texts_with_leading_zeros(triage, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("n,x,code,yes,empty\n1,1.5,007,True,\n2,3,010,false,\n")
    assert read_rows(file) == [
        {"n": 1, "x": 1.5, "code": "007", "yes": True, "empty": None},
        {"n": 2, "x": 3.0, "code": "010", "yes": False, "empty": None},
    ]


def test_rows_take_little_room_and_push_no_run_out(notebook, triage):
    run = triage(ticket="ticket 1")
    history = notebook.session.services.history
    triage.map([{"ticket": f"ticket {i}"} for i in range(30)])
    rows, runs = history.rows, history.store
    rows.database.flush()
    pages, size = (rows.database.read(f"PRAGMA {name}")[0][0] for name in ("page_count", "page_size"))
    assert pages * size / 30 < 30_000
    rows.begin("triage", [f"row {i}" for i in range(5_000)])
    for store in (rows, runs):
        store.prune()
        store.database.flush()
    assert rows.database.read("SELECT count(*) FROM rows")[0][0] == 5_030
    assert [stored.id for stored in runs.runs()] == [run.id]


def test_a_part_of_a_file_has_many_rows_for_each_that_runs_at_once(triage, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "_PART", 3)
    for at_once, parts in ((None, [*range(3, 40, 3), 40]), (2, [32, 40])):
        totals = []
        texts = [f"{at_once}: ticket {i}" for i in range(40)]
        (tmp_path / "in.jsonl").write_text("".join(f'{{"ticket": "{text}"}}\n' for text in texts))
        triage.map(
            tmp_path / "in.jsonl", tmp_path / f"out{at_once}.jsonl", concurrency=at_once,
            watch=lambda now, totals=totals: totals.append(now.total),
        )  # fmt: skip
        assert [*dict.fromkeys(totals)] == parts
