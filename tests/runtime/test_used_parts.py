"""A run keeps the parts of its inputs that it uses, in its record, its journal and its history, and nothing else."""

import json
from dataclasses import dataclass
from importlib import import_module

import pytest
from lives import bind, restarted

from orchmagic.errors import InputError

SECRET = "CANARY-77"
CFG = {"name": "Ada", "on": True, "rows": [{"name": "Bob", "key": SECRET}], "password": SECRET}
ROWS = [{"name": "Ada", "key": SECRET}, {"name": "Bob", "key": SECRET, "tags": ["x"]}]


@dataclass
class Settings:
    name: str
    password: str


class Table:
    """As much of a DataFrame as is asked for."""

    columns = ("name", "key")

    def to_dict(self, _):
        return [{"name": r["name"], "key": r["key"]} for r in ROWS]


def everything_kept(notebook, run):
    """The saved record, the inputs of the history, its journal and its checkpoints as one text."""
    store = notebook.session.services.history.store
    tables = [store.database.read(f"SELECT * FROM {table}") for table in ("runs", "journal", "turns")]
    return json.dumps([run.record.to_json(), [[*map(str, row)] for rows in tables for row in rows]])


@pytest.mark.parametrize(
    ("cell", "values", "sent", "kept"),
    [
        ("say\n    {{ v.name }}", CFG, "Ada", {"name": "Ada"}),
        ("say\n    {{ v['name'] }} {{ v.get('on') }}", CFG, "Ada True", {"name": "Ada", "on": True}),
        ("x = v['name']\nsay\n    {{ x }}", CFG, "Ada", {"name": "Ada"}),
        ("say(when=v['on'])\n    Hello", CFG, "Hello", {"on": True}),
        ("say\n    Hello\ngate v['on'] and len(v['rows']) == 1", CFG, "Hello", {"on": True, "rows": [None]}),
        ("say\n    {{ v.rows[0].name }}", CFG, "Bob", {"rows": [{"name": "Bob"}]}),
        ("say\n    {{ v[1].name }}", ROWS, "Bob", [None, {"name": "Bob"}]),
        ("say\n    {{ v[-1].name }}", ROWS, "Bob", [None, {"name": "Bob"}]),
        ("say\n    {{ v|length }}", ROWS, "2", [None, None]),
        ("say\n    {{ v|length }}", CFG, "4", dict.fromkeys(CFG)),
        ("say\n    {% for r in v %}{{ r.name }};{% endfor %}", ROWS, "Ada;Bob;", [{"name": "Ada"}, {"name": "Bob"}]),
        ("x = ','.join(r['name'] for r in v)\nsay\n    {{ x }}", ROWS, "Ada,Bob", [{"name": "Ada"}, {"name": "Bob"}]),
        ("say(over=v, item=r)\n    {{ r.name }}", ROWS[:1], "Ada", [{"name": "Ada"}]),
        ("say(over=v['rows'], item=r)\n    {{ r.name }}", CFG, "Bob", {"rows": [{"name": "Bob"}]}),
        ("say(over=v, item=r)\n    {{ r.value.name }}", {"a": ROWS[0]}, "Ada", {"a": {"name": "Ada"}}),
        ("say\n    {{ v.name }}", Settings("Ada", SECRET), "Ada", {"name": "Ada"}),
        ("say\n    {{ v[1].name }}", Table(), "Bob", [None, {"name": "Bob"}]),
        ("say\n    {{ v[3] }}", {3: "x", 4: SECRET, 5: object()}, "x", {"3": "x"}),
        ("say\n    {{ v['3'] }}", {3: "x", 4: SECRET}, "x", {"3": "x"}),
        ("x = v[3][7]\nsay\n    {{ x }}", {3: {7: "x", 8: SECRET}}, "x", {"3": {"7": "x"}}),
        ("say(over=v, item=r)\n    {{ r[7] }}", [{7: "x", 8: SECRET}], "x", [{"7": "x"}]),
        ("say\n    {{ v[2] }}", ["a", SECRET, "c"], "c", [None, None, "c"]),
    ],
)  # fmt: skip
def test_only_what_is_used_is_kept(notebook, cell, values, sent, kept):
    notebook.script(lambda _: "ok")
    run = notebook.run(f"%%chain t --no-cache\n{cell}\n", v=values)
    assert (run.status, run.error) == ("done", None)
    assert notebook.prompts == [sent]
    assert run.inputs == {"v": kept}
    assert SECRET not in everything_kept(notebook, run)


INNER = "%%chain inner --no-cache\nsay\n    {{ cfg.name }}\n"


@pytest.mark.parametrize("line", ["x = inner()", "x = inner(cfg=cfg)", "x(run=inner)"])
def test_an_inner_cell_gets_what_it_uses(notebook, line):
    notebook.script(lambda _: "ok")
    bind(notebook, INNER)
    run = notebook.run(f"%%chain outer --no-cache\n{line}\n", cfg=CFG)
    assert (run.status, notebook.prompts, run.inputs) == ("done", ["Ada"], {"cfg": {"name": "Ada"}})
    assert SECRET not in everything_kept(notebook, run)


def test_items_of_a_function_are_shown_by_what_is_used(notebook):
    notebook.script(lambda _: "ok")
    run = notebook.run("%%chain t\nsay(over=load(), item=r)\n    {{ r.name }}\n", load=lambda: ROWS)
    assert [s.input for s in run.record.spans if s.kind == "item"] == [{"name": "Ada"}, {"name": "Bob"}]


def test_a_later_step_finds_what_it_uses_after_a_restart(notebook):
    cell = (
        '%%chain t --no-cache\nfirst\n    {{ cfg.name }}\napprove "ok?"\nlast\n    {{ cfg.rows[0].name }} {{ by[7] }}\n'
    )
    notebook.script(lambda body: body["messages"][-1]["content"])
    run = notebook.run(cell, cfg=CFG, by={7: "seven", 8: SECRET})
    assert run.status == "waiting"
    with restarted(notebook) as session:
        resumed = session.lookup.run(run.id).approve()
        assert (resumed.status, resumed.output) == ("done", "Bob seven")
        assert resumed.replay().output == "Bob seven"
    assert SECRET not in everything_kept(notebook, run)


def test_two_spellings_of_one_key_are_refused(notebook):
    with pytest.raises(InputError, match="which are one in JSON"):
        notebook.run("%%chain t\nsay\n    {{ v[3] }} {{ v['3'] }}\n", v={3: "a", "3": "b"})


@pytest.mark.parametrize("text", ["{{ v }}", "{% for k in v %}{{ k }}{% endfor %}"])
def test_all_of_a_dict_with_number_keys_is_refused(notebook, text):
    with pytest.raises(InputError, match="read one entry by its key"):
        notebook.run(f"%%chain t\nsay\n    {text}\n", v={3: "a"})


MAKERS = {  # heavy modules, imported when a test needs them
    "pandas": lambda: import_module("pandas").DataFrame,
    "polars": lambda: import_module("polars").DataFrame,
    "pyarrow": lambda: import_module("pyarrow").Table.from_pylist,
    "numpy": lambda: import_module("numpy").array,
    "series": lambda: import_module("pandas").Series,
}
FRAMES = ("pandas", "polars", "pyarrow")


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(
    ("cell", "sent", "kept"),
    [
        ("say\n    {{ v|length }}", "3", [None] * 3),
        ("x = len(v)\nsay\n    {{ x }}", "3", [None] * 3),
        ("say\n    {{ v[1].a }}", "1", [None, {"a": 1}]),
        ("say\n    {{ v[-1].a }} {{ v[7] is defined }}", "2 False", [None, None, {"a": 2}]),
        ("say\n    {{ v|first }}", '{"a":0,"b":"0"}', [{"a": 0, "b": "0"}]),
        ("say\n    {% for r in v %}{{ r.b }}{% endfor %}", "012", [{"b": "0"}, {"b": "1"}, {"b": "2"}]),
    ],
)
def test_a_table_is_read_as_rows(notebook, kind, cell, sent, kept):
    notebook.script(lambda _: "ok")
    run = notebook.run(f"%%chain t --no-cache\n{cell}\n", v=MAKERS[kind]()([{"a": i, "b": str(i)} for i in range(3)]))
    assert (run.status, run.error) == ("done", None)
    assert notebook.prompts == [sent]
    assert run.inputs == {"v": kept}


@pytest.mark.parametrize(
    "cell",
    [
        "say\n    {{ v.shape }}",
        "say\n    {{ v.head(3) }}",
        "x = v.describe()",
        "x = v['a'].sum()",
        "x = v['a']",
        "say(when=v.size > 1)\n    Hi",
        "say\n    Hi\ngate v.shape[0] > 1",
        "say(over=v.values, item=r)\n    {{ r }}",
    ],
)
@pytest.mark.parametrize("kind", MAKERS)
def test_what_rows_lack_is_refused_before_a_call(notebook, kind, cell):
    v = MAKERS[kind]()([{"a": 1}] if kind in FRAMES else [1, 2])
    with pytest.raises(InputError, match=r"'v' is (a table|an array), which a cell reads as a list.* write part = v\."):
        notebook.run(f"%%chain t\nfirst\n    Hello\n{cell}\n", v=v)
    assert notebook.prompts == []


@pytest.mark.parametrize("cell", ["say\n    {{ v }}", "x = show(v)", "x(over=v, item=r)\n    {{ r.a }}"])
def test_a_table_that_is_too_long_is_refused(notebook, cell):
    with pytest.raises(
        InputError, match=r"'v' has 100,001 rows, more than the 100,000 that a run keeps.*NAME.map\(v\)"
    ):
        notebook.run(f"%%chain t\n{cell}\n", v=MAKERS["pandas"]()({"a": range(100_001)}), show=str)
    assert notebook.prompts == []


def test_a_function_that_takes_rows_for_a_table_is_told_what_to_write(notebook):
    run = notebook.run("%%chain t\nx = mean(v)\n", v=MAKERS["pandas"]()({"a": [1]}), mean=lambda v: v.mean())
    assert "'list' object has no attribute 'mean' (a table or an array arrives as a list: pandas.DataFrame" in run.error
