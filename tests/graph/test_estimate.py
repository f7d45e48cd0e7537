"""`--dry-run`: the range of a run, without a call."""

import math

import pytest

from orchmagic import Reply
from orchmagic.graph import paths
from orchmagic.graph.model import END, START, Code, Edge, Fork, Graph, Join
from orchmagic.models.scripting.server import serve

CHAIN = """%%chain
extract(retry=2, max_tokens=100) -> quote: str
    Read {{ ticket }}
gate extract.quote in ticket else retry 2
reply(when=extract.quote, max_tokens=100)
    Answer {{ extract.quote }}
"""


def of(notebook, cell, **values):
    notebook.space.update(values)
    return notebook.define(cell).estimate()


def test_a_chain_counts_loops_re_asks_and_conditions(notebook):
    found = of(notebook, CHAIN, ticket="it broke")
    assert (found.calls.low, found.calls.high) == (1, 3 * 3 + 1)
    assert notebook.scripted.requests == []


def test_a_route_takes_one_handler(notebook):
    cell = "%%route\na(max_tokens=10): x\n    A {{ q }}\nb(max_tokens=900): y\n    B {{ q }}\n"
    found = of(notebook, cell, q="q")
    assert found.calls.low == 2
    assert [s.name for s in found.steps] == ["router", "a", "b"]
    assert found.tokens.high < sum(s.tokens.high for s in found.steps)


def test_an_agent_counts_its_cap(notebook):
    def find(x: int) -> int:
        """Find."""
        return x

    found = of(notebook, "%%react --tools find --max-iterations 5\nGo\n", find=find)
    assert (found.calls.low, found.calls.high) == (1, 5)


def test_an_agent_reads_in_each_turn_what_it_wrote_and_what_its_tools_gave_before(notebook):
    def find(x: int) -> int:
        """Find."""
        return x

    cell = "%%react --tools find --max-iterations {}\nGo\n"
    one = of(notebook, cell.format(1), find=find).tokens.high
    reply, result = 1024, 200  # the longest reply of the settings, and what one result is taken for
    for turns in (2, 5):
        grown = sum(turn * (reply + result) for turn in range(turns))
        assert of(notebook, cell.format(turns), find=find).tokens.high == turns * one + grown


@pytest.mark.parametrize("prompt", ["Describe {{ photo }}", "Describe {{ photo }} for {{ nobody }}"])
def test_an_image_counts(notebook, tmp_path, prompt):
    png = b"\x89PNG" + bytes(30_000)
    cell = f"%%chain\nlook\n    {prompt}\n"
    with_image = of(notebook, cell, photo=png).tokens.low
    assert 3_000 < with_image < 3_030


def test_a_longer_input_costs_more(notebook):
    short = of(notebook, CHAIN, ticket="a")
    long = of(notebook, CHAIN, ticket="word " * 1000)
    assert long.tokens.low - short.tokens.low == pytest.approx(1000, abs=5)


def test_the_runs_own_limits_cut_the_most(notebook):
    assert of(notebook, CHAIN.replace("%%chain", "%%chain --max-tokens 50"), ticket="a").tokens.high == 50


def test_fallbacks_and_retries_bound_the_attempts(notebook):
    plain = of(notebook, CHAIN, ticket="a")
    backed = of(notebook, CHAIN.replace("%%chain", "%%chain --fallback scripted/other"), ticket="a")
    assert plain.attempts == plain.calls.high * 3
    assert backed.attempts == plain.attempts * 2


def test_prices_make_a_range_and_unknown_ones_are_said(notebook):
    models = (
        '{"cheap": {"provider": "scripted", "model": "scripted", "input_price": 1, "output_price": 2},'
        ' "odd": {"model": "nobody-knows-me", "base_url": "http://127.0.0.1:9/v1"}}'
    )
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models})
    found = of(notebook, CHAIN.replace("%%chain", "%%chain --model cheap"), ticket="a")
    assert found.cost is not None
    assert 0 < found.cost.low < found.cost.high
    odd = of(notebook, CHAIN.replace("%%chain", "%%chain --model odd"), ticket="a")
    assert odd.cost is None
    assert "No price known" in odd.text()
    assert "odd" in odd.text()


MAP = "%%chain\nlines(over=docs, item=doc, max_tokens=10)\n    A line on {{ doc }}\nreply(max_tokens=10)\n    {{ lines }}\n"


def test_a_known_list_tells_how_many_items_there_will_be(notebook):
    found = of(notebook, MAP, docs=["a", "b", "c"])
    assert (found.calls.low, found.calls.high) == (4, 4)


def test_what_has_no_length_is_an_unknown_number_of_items(notebook):
    found = of(notebook, MAP.replace("over=docs", "over=reversed(docs)"), docs=["a", "b"])
    assert (found.calls.low, found.calls.high) == (1, math.inf)


@pytest.mark.parametrize(("characters", "most"), [(900_000, 3), (1_100_000, math.inf)])
def test_a_code_step_is_worked_out_beforehand_up_to_a_million_characters(notebook, characters, most):
    cell = "%%chain\nparts = [docs[:9]] * 2\nlines(over=parts, max_tokens=1)\n    {{ item }}\nreply(max_tokens=1)\n    Hi\n"
    assert of(notebook, cell, docs="x" * characters).calls.high == most


def test_an_unknown_list_may_be_empty_or_endless_and_the_tokens_are_still_bounded(notebook):
    cell = MAP.replace("lines(over=docs", "docs -> list[str]\n    Find some\nlines(over=docs")
    found = of(notebook, cell)
    assert (found.calls.low, found.calls.high) == (2, math.inf)
    assert found.tokens.high == 200_000
    assert "2 to any number of calls" in found.text()


def test_votes_are_counted_and_a_fallback_may_decide(notebook):
    cell = '%%chain\nlabel(votes=5, by=label{}) -> label: "a" | "b"\n    Which?\n'
    plain = of(notebook, cell.format(", retry=0"))
    assert (plain.calls.low, plain.calls.high) == (5, 5)
    assert of(notebook, cell.format(", retry=0, min=0.6")).calls.high == 6


def test_an_inner_orchestration_is_counted_with_its_own_steps(notebook):
    notebook.space["inner"] = notebook.define(
        "%%chain inner\na(max_tokens=9)\n    A {{ x }}\nb(max_tokens=9)\n    B {{ a }}\n"
    )
    found = of(notebook, "%%chain\nfirst(max_tokens=9)\n    F\nmany(run=inner, over=xs, item=x)\n", xs=[1, 2, 3])
    assert [s.name for s in found.steps] == ["first", "many/a", "many/b"]
    assert (found.calls.low, found.calls.high) == (7, 7)


def test_all_branches_of_a_fork_count_and_their_join_once():
    names = ("a", "b", "c")
    graph = Graph(
        "p", "parallel", tuple(Code(n, "1") for n in (*names, "merge", "last")),
        (Fork(START, names), Join(names, "merge"), Edge("merge", "last"), Edge("last", END)), ("last",),
    )  # fmt: skip
    weight = dict.fromkeys((*names, "merge", "last"), 1.0)
    assert sorted(paths.way(graph, weight, min)) == ["a", "b", "c", "last", "merge"]


def test_a_ladder_costs_at_least_its_first_and_at_most_its_dearest_model(notebook):
    models = (
        '{"cheap": {"provider": "scripted", "model": "scripted", "input_price": 1, "output_price": 1},'
        ' "dear": {"provider": "scripted", "model": "scripted", "input_price": 100, "output_price": 100}}'
    )
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models})
    cell = "%%cascade --models cheap,dear\nanswer(max_tokens=10) -> value: int\n    {{ q }}\nverify answer.value > 1\n"
    found = of(notebook, cell, q="q")
    assert found.cost is not None
    (step,) = [s for s in found.steps if s.name == "answer"]
    assert step.model == "cheap, dear"
    assert step.cost is not None
    assert step.cost.high > 50 * step.cost.low
    assert found.calls.low == 1


def test_the_chunks_of_a_known_document_are_counted(notebook):
    cell = "%%mapreduce digest --over document --chunk 60\nmap -> list[str]\n    Claims: {{ chunk }}\nreduce\n    Merge: {{ parts }}\n"
    short = of(notebook, cell, document="One sentence.")
    long = of(notebook, cell, document="One sentence follows another. " * 150)
    lows = {s.name: s.calls.low for s in short.steps}, {s.name: s.calls.low for s in long.steps}
    assert lows[0]["map"] == 1
    assert lows[1]["map"] > 10


URL = "http://127.0.0.1:9/v1"


def deployments(*names):
    return [{"name": n, "base_url": URL, "model": n} for n in names]


def test_every_deployment_of_every_model_is_counted_with_its_retries(notebook):
    notebook.session.add_models({"p": {"hedge": 1, "deployments": deployments("a", "b", "c")}})
    found = of(notebook, "%%chain --model p --fallback scripted\nreply(retry=0) -> ok: bool\n    Hi {{ q }}\n", q="q")
    assert found.calls.high == 1
    assert found.steps[0].attempts == {"p": 9, "scripted": 3}
    assert found.attempts == 12
    assert "at most 12 attempts (a call: up to 9 of p, 3 of scripted)." in found.text()


async def test_no_storm_makes_more_attempts_than_were_stated(notebook):
    """The bound is reached: two deployments and a fallback that all fail, tried as often as may be."""
    with serve(lambda _: Reply(fault="500")) as down:
        entries = [{"name": n, "base_url": down.base_url, "model": n} for n in "ab"]
        notebook.session.add_models({"p": {"deployments": entries}, "q": {"base_url": down.base_url, "model": "q"}})
        notebook.session.services.environ.update({"ORCHMAGIC_RETRY": "1"})
        notebook.session.reload()
        made = notebook.define("%%chain --model p --fallback q\nreply\n    Hi\n")
        stated = made.estimate().attempts
        run = await made.arun()
    assert run.status == "failed"
    assert len(down.requests) == stated == 6


def test_a_model_that_nobody_stands_in_for_is_told_with_what_to_write(notebook):
    notebook.session.add_models({"p": {"deployments": deployments("a", "b")}, "q": {"base_url": URL, "model": "c"}})
    (said,) = of(notebook, "%%chain --model q\na\n    Hi\nb\n    Hi\n").notes
    assert said.startswith("'q' has one deployment (c at 127.0.0.1:9) and no fallback: when it fails the run fails.")
    assert said in of(notebook, "%%chain --model q\na\n    Hi\n").text()
    for line in ("--model q --fallback p", "--model p", "--model scripted"):
        assert of(notebook, f"%%chain {line}\na\n    Hi\n").notes == ()


def test_the_dearest_deployment_of_an_alias_may_answer(notebook):
    rich = {"base_url": URL, "model": "b", "input_price": 5, "output_price": 5}
    cheap = {**rich, "input_price": 1, "output_price": 1}
    notebook.session.add_models({"p": {"deployments": [cheap, rich]}, "one": rich})
    cell = "%%chain --model {}\na(max_tokens=100)\n    Hi\n"
    assert of(notebook, cell.format("p")).cost.high == of(notebook, cell.format("one")).cost.high
    assert of(notebook, cell.format("p")).cost.low < of(notebook, cell.format("one")).cost.low
