"""A graph inside a graph, seen from its edges: state, spans, questions, limits that meet, and names that collide."""

import asyncio
import json
import threading

import pytest
from lives import bind, restarted, spans

from orchmagic import Reply, Script, install
from orchmagic.errors import InputError
from orchmagic.models.providers.scripted import remove
from orchmagic.runtime.subgraph_node import wrapped

INNER = "%%chain inner\na -> n: int\n    A {{ x }}\nb(when=a.n > 5)\n    B {{ a.n }}\n"


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ({"step": "a", "value": 1}, 2, {"step": "a", "value": 2}),
        ([{"step": "a", "value": 1}, None], [3, 4], [{"step": "a", "value": 3}, {"step": "a", "value": 4}]),
        ([{"step": "a", "value": 1}, {"step": "b", "value": 2}], [None, 5], [None, {"step": "b", "value": 5}]),
    ],
)
def test_an_edited_value_keeps_the_step_that_gave_the_one_before(before, value, after):
    assert wrapped(before, value) == after


def test_the_output_is_that_of_the_last_step_that_ran(notebook):
    bind(notebook, INNER)
    notebook.script({"n": 3}, {"n": 9}, "big")
    assert notebook.run("%%chain\ny = inner(x='s')\n").output.n == 3
    assert notebook.run("%%chain\ny = inner(x='t')\n").output == "big"


def test_the_trace_shows_values_as_a_person_knows_them(notebook):
    bind(notebook, INNER)
    notebook.script({"n": 3})
    record = notebook.run("%%chain\ny(run=inner, over=xs, item=x)\n", xs=["s"]).record
    assert record.output == [{"n": 3}]
    assert [s.output for s in record.spans if s.kind in {"sub", "item"}] == [[{"n": 3}], {"n": 3}]
    json.dumps(record.to_json())


def test_an_inner_run_with_no_output_gives_none(notebook):
    bind(notebook, "%%chain nothing\na(when=False)\n    A\n")
    run = notebook.run("%%chain\ny = nothing()\nz\n    Got {{ y }}\n")
    assert (run.status, run.y) == ("done", None)


def test_a_missing_input_of_an_inner_run_is_one_of_the_outer(notebook):
    bind(notebook, INNER)
    made = notebook.define("%%chain outer\ny(run=inner)\n")
    assert made.definition.inputs == ("x",)
    with pytest.raises(InputError, match="outer needs x"):
        made()


def test_functions_of_the_inner_cell_are_missed_before_a_call_is_paid(notebook):
    notebook.space["look"] = lambda x: x
    bind(notebook, "%%chain inner\na\n    A\nb = look(a)\n")
    made = bind(notebook, "%%chain outer\ny = inner()\n")
    del notebook.space["look"]
    with pytest.raises(InputError, match="needs look"):
        made()
    assert notebook.prompts == []


def test_steps_of_two_graphs_may_have_the_same_names(notebook):
    bind(notebook, "%%chain inner\na\n    In {{ x }}\nb\n    {{ a }}\n")
    notebook.script(echo)
    run = notebook.run("%%chain\na\n    Out\nb = inner(x=a)\nc\n    {{ a }} {{ b }}\n")
    assert run.output == "<<Out> <<In <Out>>>>"


@pytest.mark.parametrize(
    "name", ["result", "output", "status", "inputs", "graph", "value", "step", "item", "run", "split"]
)
def test_steps_may_have_the_names_that_a_run_uses_itself(notebook, name):
    bind(notebook, f"%%chain inner\n{name}\n    In {{{{ x }}}}\n")
    notebook.script(echo)
    run = notebook.run(f"%%chain\n{name} = inner(x='x')\nlast\n    {{{{ {name} }}}}\n")
    assert (run.status, run.output) == ("done", "<<In x>>"), run.error
    assert run[name] == "<In x>"


NESTED = "%%chain {name} --no-cache{options}\ny(run={inner}, over=xs, item=x)\n"


@pytest.mark.parametrize(
    ("options", "status", "calls"),
    [
        ("", "done", 60),
        (" --max-steps 61", "done", 60),
        (" --max-steps 60", "capped", None),
        (" --max-steps 5", "capped", 4),
    ],
)
def test_max_steps_counts_the_steps_of_items_if_it_was_set(notebook, options, status, calls):
    bind(notebook, "%%chain inner --no-cache\na\n    A {{ x }}\nb\n    {{ a }}\n")
    notebook.script(echo)
    run = notebook.run(NESTED.format(name="o", options=options, inner="inner"), xs=list(range(30)))
    assert (run.status, "max-steps" in (run.reason or "")) == (status, status == "capped")
    assert calls is None or len(notebook.scripted.requests) == calls


def test_max_steps_counts_the_steps_of_items_of_items(notebook):
    bind(notebook, "%%chain inner --no-cache\na\n    A {{ x }}\n")
    bind(notebook, "%%chain mid --no-cache\nz(run=inner, over=[n, 2, 3], item=x)\n")
    notebook.script(echo)
    run = notebook.run("%%chain out --no-cache --max-steps 9\ny(run=mid, over=[1, 2, 3], item=n)\n")
    assert (run.status, run.reason) == ("capped", "max-steps: 9 steps were not enough")


def test_the_setting_of_max_steps_counts_the_steps_of_items_too(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_MAX_STEPS": "5"})
    bind(notebook, "%%chain inner --no-cache --max-steps 50\na\n    A {{ x }}\n")
    notebook.script(echo)
    run = notebook.run(NESTED.format(name="o", options="", inner="inner"), xs=list(range(30)))
    assert (run.status, run.reason) == ("capped", "max-steps: 5 steps were not enough")


def test_the_deadline_of_the_outer_run_is_met_inside_an_item(notebook):
    bind(notebook, "%%chain inner\na\n    A {{ x }}\n")
    notebook.script(lambda _: Reply("late", latency=60))
    run = notebook.run("%%chain --deadline 0.3s --no-cache\ny(run=inner, over=xs, item=x)\n", xs=[1, 2])
    assert run.status == "capped"
    assert run.reason.startswith("deadline")


@pytest.mark.parametrize("pattern", ["route", "parallel", "refine", "react", "mapreduce", "cascade"])
def test_every_pattern_runs_inside_another(notebook, pattern):
    cells = {
        "route": "%%route inner\nrouter = 'a'\na: x\n    A {{ x }}\nb: y\n    B {{ x }}\n",
        "parallel": "%%parallel inner\na\n    A {{ x }}\nb\n    B {{ x }}\n",
        "refine": "%%refine inner\ngenerate\n    G {{ x }}\nevaluate -> score: float, feedback: str\n"
        "    S {{ generate }}\nuntil evaluate.score >= 0 max 2\n",
        "react": "%%react inner --tools look\nHelp {{ x }}\n",
        "mapreduce": "%%mapreduce inner --over x\nmap\n    M {{ chunk }}\nreduce\n    R {{ parts }}\n",
        "cascade": "%%cascade inner --models scripted,scripted/large\nanswer -> v: int\n    A {{ x }}\nverify answer.v >= 0\n",
    }

    def look(what: str) -> str:
        return what

    notebook.space["look"] = look
    install(Script(), "large")
    bind(notebook, cells[pattern])
    alone = notebook.session.defined["inner"](x="text")
    run = notebook.run("%%chain outer --no-cache\ny = inner(x='text')\n")
    assert (alone.status, run.status) == ("done", "done"), run.error
    assert run.record.output == alone.record.output
    assert run.record.calls == alone.record.calls
    assert [s for s in spans(run) if s.startswith("y#1/")]
    remove("large")


def test_an_inner_cell_that_the_next_kernel_lacks_comes_from_the_history(notebook):
    bind(notebook, "%%chain inner\na\n    A {{ x }}\n")
    bind(notebook, '%%chain middle\ny = inner(x=x)\napprove "Fine?"\n')
    notebook.script(echo)
    first = notebook.run("%%chain outer\nz = middle(x='t')\nlast\n    {{ z }}\n")
    notebook.session.close()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.status, run.waiting.value) == ("waiting", "<A t>")
        assert run.approve().output == "<<A t>>"
    assert len(notebook.prompts) == 2


OUTER = "%%chain outer {}\nx = inner()\nseen = note(x)\n"
CAPS = {
    "--max-steps 3": "max-steps",
    "--max-tokens 50": "max-tokens",
    "--deadline 0.3": "deadline",
}


@pytest.mark.parametrize(("limit", "name"), CAPS.items())
def test_a_limit_of_the_outer_run_that_is_met_inside_ends_the_outer_run(notebook, limit, name):
    """Code steps count as none and cost nothing: the one after the inner graph would run, and call notebook code."""
    noted = []
    bind(notebook, "%%chain inner --no-cache\na\n    A\nb\n    B\nc\n    C\n")
    notebook.script(lambda _: Reply("x", latency=0.15))
    run = notebook.run(OUTER.format(limit), note=noted.append)
    assert (run.status, noted) == ("capped", [])
    assert name in run.reason


def test_a_limit_of_the_inner_graph_ends_only_that(notebook):
    noted = []
    bind(notebook, "%%chain inner --no-cache --max-steps 2\na\n    A\nb\n    B\nc\n    C\n")
    notebook.script(lambda _: "x")
    run = notebook.run(OUTER.format(""), note=noted.append)
    assert (run.status, noted) == ("done", ["x"])


def test_a_graph_that_somebody_else_drives_calls_models_on_the_sessions_loop(notebook):
    bind(notebook, "%%chain inner --no-cache\na\n    A\n")
    threads = []
    notebook.script(lambda _: threads.append(threading.current_thread().name) or "x")
    made = notebook.define("%%chain outer --no-cache\ny = inner()\nlast\n    {{ y }}\n")
    assert asyncio.run(made.graph.ainvoke({}))["last"] == "x"
    assert threads == ["orchmagic-loop"] * 2
