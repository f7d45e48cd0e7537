"""What a run takes as an input or as the result of code, and what it refuses in one line."""

import collections
import csv
import io
import itertools
import math
from datetime import date
from decimal import Decimal
from enum import IntEnum, StrEnum
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from orchmagic.errors import InputError
from orchmagic.runtime.json_state import as_json, is_blank


class Word(StrEnum):
    A = "a"


class Size(IntEnum):
    ONE = 1


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def circle(kind):
    made = kind()
    made.append(made) if kind is list else made.update(self=made)
    return made


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(1.5), 1.5),
        (np.float64(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1.5]]), [[1.5]]),
        (np.array(["a"]), ["a"]),
        (np.array(["2024-01-02", "NaT"], "datetime64[ns]"), ["2024-01-02T00:00:00", None]),
        (np.datetime64("2024-01-02T03:04:05", "ns"), "2024-01-02T03:04:05"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(3, "s"), "PT3S"),
        ({"max": np.int64(3)}, {"max": 3}),
        ([np.float32(0.5)], [0.5]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.items(), [["a", 1]]),
        (collections.deque([1]), [1]),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        ({1, 2, 10}, [1, 10, 2]),
        (Word.A, "a"),
        ({Word.A: 1}, {"a": 1}),
        (Size.ONE, 1),
        (Decimal("1.5"), "1.5"),
        (date(2024, 1, 2), "2024-01-02"),
        (Path("/x"), "/x"),
        (b"x", "x"),
        (nested(50), nested(50)),
    ],
)
def test_values_that_are_taken(value, plain):
    found = as_json(value, "v")
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_and_columns_are_taken(library):
    made = import_module(library)
    build = made.table if library == "pyarrow" else made.DataFrame
    table = build({"n": [1, 2], "text": ["a", None]})
    assert as_json(table, "v")[0] == {"n": 1, "text": "a"}
    assert as_json(table["n"], "v") == [1, 2]


def test_pandas_rows_dates_and_what_is_missing():
    pd = import_module("pandas")
    frame = pd.DataFrame({"n": [1, 2], "at": pd.to_datetime(["2024-01-02", None])})
    assert as_json(frame, "v") == [{"n": 1, "at": "2024-01-02T00:00:00"}, {"n": 2, "at": None}]
    assert as_json(frame.iloc[0], "v") == {"n": 1, "at": "2024-01-02T00:00:00"}
    assert as_json([pd.NaT, pd.NA, frame.n.sum(), frame.n.max() > 1], "v") == [None, None, 3, True]
    with pytest.raises(InputError, match="two columns of one name"):
        as_json(pd.DataFrame([[1, 2]], columns=["a", "a"]), "v")


def test_a_lazy_polars_query_is_refused():
    pl = import_module("polars")
    with pytest.raises(InputError, match=r"write v = v\.collect\(\) first"):
        as_json(pl.DataFrame({"a": [1]}).lazy(), "v")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (circle(list), "contains itself"),
        (circle(dict), "contains itself"),
        ([{"a": circle(list)}], "contains itself"),
        (nested(600), "nested more than 100 levels deep"),
        (nested(20_000), "nested more than 100 levels deep"),
        (object(), "is of type object, which is not JSON"),
        (len, "is of type builtin_function_or_method, which is not JSON"),
        (b"\xff\xfe", "bytes that are no image"),
        ({(1,): 2}, "keys in JSON are text"),
        ({None: 2}, "keys in JSON are text"),
        (range(10**12), "more items than the 100,000 that fit"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_values_that_are_refused_in_one_line(value, told):
    with pytest.raises(InputError, match=told) as caught:
        as_json(value, "v")
    assert "\n" not in str(caught.value)


ITERATORS = {
    "generator": lambda: (c for c in "ab"),
    "map": lambda: map(str, [1, 2]),
    "filter": lambda: filter(None, [1, 2]),
    "zip": lambda: zip("ab", "cd", strict=True),
    "reversed": lambda: reversed([1, 2]),
    "enumerate": lambda: enumerate("ab"),
    "iter": lambda: iter([1, 2]),
    "islice": lambda: itertools.islice(itertools.count(), 2),
    "csv.reader": lambda: csv.reader(io.StringIO("a,b\nc,d\n")),
    "csv.DictReader": lambda: csv.DictReader(io.StringIO("a,b\nc,d\ne,f\n")),
    "text file": lambda: io.StringIO("a\nb\n"),
}


@pytest.mark.parametrize("name", ITERATORS)
@pytest.mark.parametrize("cell", ["say\n    {{ rows }}", "say(over=rows, item=i)\n    {{ i }}", "x = list(rows)"])
def test_an_iterator_of_the_notebook_is_refused_and_not_emptied(notebook, name, cell):
    made = ITERATORS[name]()
    for _ in range(2):
        with pytest.raises(InputError, match="can be read only once: write"):
            notebook.run(f"%%chain t --no-cache\n{cell}\n", rows=made)
    assert notebook.prompts == []
    assert len([*made]) == 2


@pytest.mark.parametrize("name", ITERATORS)
def test_an_iterator_that_a_function_returns_is_read_once_and_kept(notebook, name):
    notebook.script(lambda _: "ok")
    cell = "%%chain t --no-cache\nrows = load()\nsay\n    {{ rows }}\nagain(over=rows, item=i)\n    {{ i }}\n"
    run = notebook.run(cell, load=ITERATORS[name])
    assert (run.status, len(run.rows), len(run.again)) == ("done", 2, 2)
    assert notebook.run("%%chain u\nsay(over=load(), item=i)\n    {{ i }}\n", load=ITERATORS[name]).output == ["ok"] * 2


@pytest.mark.parametrize("make", [itertools.count, lambda: itertools.cycle("ab"), lambda: iter(int, 1)])
def test_an_endless_iterator_ends_the_step(notebook, make):
    run = notebook.run("%%chain t --no-cache\nrows = load()\nsay\n    {{ rows }}\n", load=make)
    assert (run.status, notebook.prompts) == ("failed", [])
    assert "or never ends" in run.error


@pytest.mark.parametrize(
    ("value", "blank"),
    [(None, True), (math.nan, True), ("", True), (" \n", True), ("a", False), (0, False), (False, False), ([], False)],
)
def test_items_that_hold_nothing(value, blank):
    assert is_blank(value) is blank
