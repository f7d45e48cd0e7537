"""Rows on an engine: what a worker gets, what is refused before any call, and how a budget is split."""

import linecache
from concurrent.futures import ThreadPoolExecutor

import nine_patterns
import pytest

import orchmagic
from orchmagic import Reply, Script, serve
from orchmagic.errors import InputError
from orchmagic.patterns import PATTERNS
from orchmagic.runtime import row_worker
from orchmagic.runtime.plain_graph import from_plain, to_plain
from orchmagic.trace.events import Usage

CELL = "%%chain two --model m\nk = mark(n)\nfirst\n    First {{ k }}\n"


def define(space, source):
    """As a cell of the notebook does: its source can be found."""
    file = f"<cell {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), space)


@pytest.fixture
def workers():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def endpoint(notebook):
    with serve(Script(lambda body: Reply("1", usage=Usage(input=10, output=990)))) as server:
        entry = {"model": "m", "base_url": server.base_url, "input_price": 100, "output_price": 100}  # a call is $0.10
        notebook.session.add_models({"m": entry})
        yield server


def rows(count):
    return [{"n": i} for i in range(count)]


def plain(answers):
    return [{k: v for k, v in row.items() if k != "_seconds"} for row in answers]


def test_answers_and_records_are_those_of_this_process(notebook, endpoint, workers):
    define(notebook.space, "from pathlib import Path\nHOME = 'a/b'\ndef part(n): return Path(HOME).name + str(n)\n")
    define(notebook.space, "def mark(n):\n    return part(n)\n")
    cell = notebook.define(CELL)
    there = cell.map(rows(9), engine=workers)
    assert len(endpoint.requests) == 9
    history = notebook.session.services.history.rows
    key = history.database.read("SELECT key FROM rows ORDER BY number")[0]["key"]
    record = history.record(key)
    assert {span["name"] for span in record["spans"]} >= {"k", "first"}
    assert plain(cell.map(rows(9))) == plain(there)  # found by the same keys
    assert len(endpoint.requests) == 9
    assert notebook.session.services.budget.whole.spent_cost == pytest.approx(sum(row["_cost"] for row in there))


@pytest.mark.parametrize("name", sorted(nine_patterns.TURNS))
def test_a_graph_comes_back_from_json_as_it_was(notebook, name):
    notebook.space["find"] = nine_patterns.find
    notebook.define(nine_patterns.AGENT)
    notebook.space["agent"] = notebook.session.find("agent")
    cell = notebook.define(nine_patterns.TURNS[name][0])
    assert name in PATTERNS.names()
    assert from_plain(to_plain(cell.definition)) == cell.definition
    assert from_plain(to_plain(cell.options)) == cell.options


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("proceses", "engine is 'proceses': write processes, processes:4, dask, dask://HOST:PORT"),
        ("processes:0", "engine is 'processes:0'"),
        ("processes:many", "engine is 'processes:many'"),
        ("dask://", "engine is 'dask://'"),
        ("dask://host", "engine is 'dask://host'"),
        (4, "engine is of type int"),
        ([], "engine is of type list"),
    ],
)
def test_what_is_no_engine_is_refused(notebook, endpoint, engine, said):
    define(notebook.space, "def mark(n):\n    return n\n")
    with pytest.raises(InputError) as error:
        notebook.define(CELL).map(rows(2), engine=engine)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not endpoint.requests


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("mark = lambda n: n", "'mark' is a lambda: write `def mark("),
        ("client = object()\ndef mark(n):\n    return client", "uses 'client', an object of the notebook"),
        ("import io\nfile = io.StringIO()\ndef mark(n):\n    return file.read()", "uses 'file', a StringIO"),
        ("def outer(x):\n    def mark(n):\n        return x\n    return mark\nmark = outer(1)", "closes over x"),
        ("big = 'x' * 30_000\ndef mark(n):\n    return big", "uses 'big', a str of the notebook of that size"),
        ("class C:\n    def mark(self, n):\n        return n\nmark = C().mark", "a method of an object"),
    ],
)
def test_what_cannot_travel_is_refused_in_one_line_before_any_call(notebook, endpoint, workers, code, said):
    define(notebook.space, code + "\n")
    with pytest.raises(InputError) as error:
        notebook.define(CELL).map(rows(2), engine=workers)
    assert str(error.value).startswith("not on an engine: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not endpoint.requests


def test_a_stand_in_is_refused_before_any_call(notebook, endpoint, workers):
    define(notebook.space, "import orchmagic\n@orchmagic.tool(writes=True)\ndef mark(n):\n    return n\n")
    define(notebook.space, "def fake(n):\n    return n\n")
    cell = notebook.define(CELL)
    given = {"on": rows(2), "metrics": {"one": "output == '1'"}, "stand_in": {"mark": notebook.space["fake"]}}
    with pytest.raises(InputError, match=r"not on an engine: the stand-in of mark stays in this kernel"):
        orchmagic.evaluate(cell, engine=workers, **given)
    assert not endpoint.requests
    assert orchmagic.evaluate(cell, **given).details[0].metrics["one"].value == 1


def test_a_script_of_this_kernel_is_refused(notebook, workers):
    notebook.script("1")
    with pytest.raises(InputError, match="answers from a script of this kernel"):
        notebook.define("%%chain a\nx\n    Say {{ n }}\n").map(rows(1), engine=workers)


@pytest.mark.parametrize(
    ("hidden", "changed", "code", "said"),
    [
        (("history", "cache"), {}, "def mark(n):\n    return n\n", "cache_url"),
        (("history",), {"requests_per_minute": 9}, "def mark(n):\n    return n\n", "the rate limits of 'm'"),
        (
            ("history",), {},
            "import orchmagic\n@orchmagic.tool(writes=True)\ndef mark(n):\n    return n\n", "mark writes",
        ),
    ],
)  # fmt: skip
def test_another_machine_refuses_what_it_cannot_share(
    notebook, endpoint, workers, monkeypatch, hidden, changed, code, said
):
    services = notebook.session.services
    services.settings.add_models({"m": {**services.settings.now.models["m"], **changed}})
    services.reload()
    define(notebook.space, code)
    hide(monkeypatch, services, hidden)
    with pytest.raises(InputError) as error:
        notebook.define(CELL).map(rows(3), engine=workers)
    assert said in str(error.value)
    assert not endpoint.requests


def test_another_machine_gives_the_records_back(notebook, endpoint, workers, monkeypatch):
    define(notebook.space, "def mark(n):\n    return n\n")
    services = notebook.session.services
    hide(monkeypatch, services, ("history",))
    cell = notebook.define(CELL)
    done = cell.map(rows(5), engine=workers)
    assert [row["_status"] for row in done] == ["done"] * 5
    keys = [row["key"] for row in services.history.rows.database.read("SELECT key FROM rows")]
    assert len(keys) == 5
    assert all(services.history.rows.record(key)["spans"] for key in keys)


def hide(monkeypatch, services, folders):
    """The worker does not see these folders of the kernel."""
    places = {"history": services.settings.now.history_dir, "cache": services.settings.now.cache_dir}
    hidden = {str(places[name]) for name in folders}
    is_here = row_worker._is_here
    monkeypatch.setattr(row_worker, "_is_here", lambda known: is_here(known) and known[0] not in hidden)


@pytest.mark.parametrize("money", [0.0, 0.3, 0.65, 100.0])
def test_a_budget_is_split_among_workers_and_never_exceeded(notebook, endpoint, workers, money):
    define(notebook.space, "def mark(n):\n    return n\n")
    cell = notebook.define(CELL)
    done = cell.map(rows(12), engine=workers, budget=money, concurrency=2)
    paid = notebook.session.services.budget.whole.spent_cost
    answered = [row for row in done if row["_status"] == "done"]
    assert paid <= money + 1e-9
    assert len(answered) == len(endpoint.requests)
    assert all(
        row["_status"] == "no answer" and "budget of all rows" in row["_error"] for row in done if row not in answered
    )
    assert (len(answered) == 12) == (money == 100.0)
    assert bool(answered) == (money > 0)
    assert len(cell.map(rows(12), engine=workers)) == 12
    assert len(endpoint.requests) == 12  # the rest, once


def test_a_key_that_only_the_kernel_has_is_named(notebook, workers):
    notebook.session.services.environ["OPENAI_API_KEY"] = "only-here"
    notebook.session.add_models({"m": {"model": "gpt-4o-mini"}})
    with pytest.raises(InputError, match=r"in a worker, which has an environment of its own: .*OPENAI_API_KEY"):
        notebook.define("%%chain a --model m\nx\n    Say {{ n }}\n").map(rows(1), engine=workers)


def test_a_variant_on_another_model_and_a_judge_run_on_workers(notebook, endpoint, workers):
    define(notebook.space, "def mark(n):\n    return n\n")
    notebook.session.add_models({"m2": notebook.session.services.settings.now.models["m"]})
    found = orchmagic.evaluate(
        notebook.define(CELL), on=rows(6), metrics={"right": "first == '1'"}, models=["m", "m2"], engine=workers
    )
    assert [d.metrics["right"].value for d in found.details] == [1.0, 1.0]
