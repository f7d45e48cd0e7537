"""over=: a step once per item, side by side; order, bounds, failures, and the second try of what failed."""

import asyncio
import itertools
import threading
import time
from importlib import import_module

import pytest
from lives import asked, bind, spans

from orchmagic import Reply
from orchmagic.errors import CellError, InputError
from orchmagic.trace.events import TextStreamed, Usage

EACH = "%%chain {options}\neach(over=items{more})\n    Say {{{{ item }}}}\n"


def cell(options="", more=""):
    return EACH.format(options=options, more=more)


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


def failing(*bad):
    """Answers all but those that ask for one of `bad`."""

    def answer(body):
        text = body["messages"][-1]["content"]
        return Reply(fault="400") if any(text.endswith(f" {b}") for b in bad) else f"<{text}>"

    return answer


def test_a_step_runs_once_per_item_and_keeps_their_order(notebook):
    notebook.script(lambda body: Reply(echo(body), latency=0.2 if "a" in body["messages"][-1]["content"][4:] else 0))
    run = notebook.run(cell(), items=["a", "b", "c"])
    assert run.output == ["<Say a>", "<Say b>", "<Say c>"]
    assert spans(run, "item") == ["each#1/1", "each#1/2", "each#1/3"]


def test_items_can_have_a_name(notebook):
    notebook.script(echo)
    run = notebook.run("%%chain\nx(over=tickets, item=ticket)\n    Say {{ ticket.id }}\n", tickets=[{"id": 1}])
    assert (run.output, run.inputs) == (["<Say 1>"], {"tickets": [{"id": 1}]})


def test_a_dict_gives_its_keys_and_values(notebook):
    notebook.script(echo)
    run = notebook.run("%%chain\nx(over=items)\n    {{ item.key }}={{ item.value }}\n", items={"a": 1, "b": 2})
    assert run.output == ["<a=1>", "<b=2>"]


class Frame:
    """As much of a DataFrame as is asked for."""

    columns = ("id", "text")

    def to_dict(self, orient):
        assert orient == "records"
        return [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]


def test_a_data_frame_gives_its_rows(notebook):
    notebook.script(echo)
    run = notebook.run("%%chain\nx(over=rows, item=row)\n    {{ row.id }} {{ row.text }}\n", rows=Frame())
    assert run.output == ["<1 one>", "<2 two>"]


def test_a_real_data_frame_gives_its_rows(notebook):
    pandas = import_module("pandas")
    notebook.script(echo)
    rows = pandas.DataFrame({"id": [1, 2], "text": ["one", "two"], "at": pandas.to_datetime(["2026-01-01"] * 2)})
    run = notebook.run("%%chain\nx(over=rows, item=row)\n    {{ row.id }} {{ row.text }}\n", rows=rows)
    assert run.output == ["<1 one>", "<2 two>"]


def test_the_values_of_items_are_typed(notebook):
    notebook.script(lambda body: {"label": body["messages"][-1]["content"]})
    run = notebook.run(
        "%%chain\neach(over=items) -> label: str\n    {{ item }}\nbest = [e.label for e in each]\n", items=["a", "b"]
    )
    assert [e.label for e in run.each] == ["a", "b"]
    assert run.best == ["a", "b"]


def test_no_items_are_an_empty_list_and_no_call(notebook):
    run = notebook.run(cell(), items=[])
    assert (run.status, run.output, notebook.prompts) == ("done", [], [])


@pytest.mark.parametrize(("items", "kind"), [("text", "str"), (3, "int"), (None, "NoneType")])
def test_what_is_no_list_is_named(notebook, items, kind):
    run = notebook.run(cell(), items=items)
    assert run.status == "failed"
    assert run.error == f"step 'each': over=items is {kind}, not a list"


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ("[1] * 100_001", "100,001 items, at most 100,000 fit"),
        ("range(100_001)", "more items than the 100,000 that fit, or never ends"),
        ("endless()", "more items than the 100,000 that fit, or never ends"),
    ],
)
def test_a_list_that_is_far_too_long_is_refused_before_a_call(notebook, over, told):
    run = notebook.run(f"%%chain\nx(over={over})\n    {{{{ item }}}}\n", endless=itertools.count)
    assert told in run.error
    assert notebook.prompts == []


@pytest.mark.slow
def test_items_run_at_the_same_time(notebook):
    notebook.script(lambda _: Reply("x", latency=2))
    began = time.monotonic()
    run = notebook.run(cell("--no-cache"), items=[1, 2, 3])
    assert run.output == ["x"] * 3
    assert time.monotonic() - began < 5  # one after the other takes six


class Gauge:
    """Counts how many are under way, and how many were at most; the first ones wait until `bound` of them are."""

    def __init__(self, bound):
        self.bound, self.now, self.most = bound, 0, 0
        self.full = asyncio.Event()

    async def __call__(self, item):
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == self.bound:
            self.full.set()
        await asyncio.wait_for(self.full.wait(), 60)
        self.now -= 1
        return item


@pytest.mark.parametrize("bound", [1, 3])
def test_no_more_items_are_under_way_than_concurrency_allows(notebook, bound):
    gauge = Gauge(bound)

    async def work(item):
        return await gauge(item)

    bind(notebook, "%%chain one\nx = work(item)\n")
    notebook.space["work"] = work
    run = notebook.run(f"%%chain --concurrency {bound}\neach(run=one, over=items)\n", items=list(range(12)))
    assert run.output == list(range(12))
    assert gauge.most == bound


def test_an_item_that_fails_is_none_and_leaves_the_others_alone(notebook):
    notebook.script(failing("b"))
    run = notebook.run(cell() + "told = sorted(errors['each'])\n", items=["a", "b", "c"])
    assert (run.status, run.each) == ("done", ["<Say a>", None, "<Say c>"])
    assert run.told == ["2"]
    assert [(d["step"], d["item"], d["input"]) for d in run.dead_letters] == [("each", 2, "b")]
    assert "400" in run.dead_letters[0]["error"]


def test_retry_asks_only_what_failed_and_what_depends_on_it(notebook):
    notebook.script(failing("b"))
    run = notebook.run(cell("--no-cache") + "last\n    Sum {{ each }}\n", items=["a", "b", "c"])
    notebook.script(echo)
    again = run.retry()
    assert asked(notebook) == ["Say b", 'Sum ["<Say a>","<Say b>","<Say c>"]']
    assert again.each == ["<Say a>", "<Say b>", "<Say c>"]
    assert again.dead_letters == []
    assert run.each[1] is None


def test_retry_asks_again_what_never_fitted(notebook):
    typed = '%%chain\neach(over=items, retry=0) -> label: "x" | "y"\n    Say {{ item }}\n'
    notebook.script(lambda body: {"label": "huh" if body["messages"][-1]["content"].endswith("b") else "x"})
    run = notebook.run(typed, items=["a", "b"])
    assert run.each[1] is None
    notebook.script({"label": "y"})
    again = run.retry()
    assert [e.label for e in again.each] == ["x", "y"]
    assert notebook.prompts == ["Say b"]


def test_a_step_whose_items_all_fail_fails(notebook):
    notebook.script(lambda _: Reply(fault="400"))
    run = notebook.run(cell(), items=["a", "b"])
    assert run.status == "failed"
    assert "all 2 items failed; the first: " in run.error
    assert len(run.dead_letters) == 2


def test_items_of_an_orchestration_fail_alone(notebook):
    bind(notebook, "%%chain one\nx\n    Say {{ item }}\ngate 'b' not in x\n")
    notebook.script(echo)
    run = notebook.run("%%chain\neach(run=one, over=items)\n", items=["a", "b"])
    assert run.output == ["<Say a>", None]
    assert "'b' not in x is false" in run.dead_letters[0]["error"]


def test_a_limit_of_the_run_ends_it_and_not_only_an_item(notebook):
    notebook.script(lambda _: Reply("x", usage=Usage(input=300, output=500)))
    run = notebook.run(cell("--max-tokens 2000"), items=["a", "b", "c"])
    assert run.status == "capped"
    assert "max-tokens" in run.reason


def test_a_run_whose_budget_is_spent_ends_although_some_items_wait_for_a_person(notebook):
    notebook.script(lambda _: Reply("x", usage=Usage(input=300, output=500)))
    bind(notebook, '%%chain one\ndraft\n    Say {{ item }}\napprove "Fine?"\n')
    run = notebook.run(
        cell("--max-tokens 2000", ", run=one").replace("    Say {{ item }}\n", ""), items=["a", "b", "c"]
    )
    assert run.status == "capped"
    assert "max-tokens" in run.reason
    assert not run.questions


def test_a_cancel_ends_all_items(notebook):
    notebook.script(lambda _: Reply("never", latency=60))
    notebook.space["items"] = list(range(20))
    run = notebook.define(cell("--no-cache")).prepare()
    many = threading.Event()
    run.trace.listeners.append(lambda e: many.set() if getattr(e, "call", "") == "each#1/8.1" else None)
    run.start()
    assert many.wait(10)
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 10  # of sixty
    assert run.status == "cancelled"
    assert {s.status for s in run.record.spans if s.kind == "item"} == {"cancelled"}


def test_a_thousand_items_come_back_in_order(notebook):
    notebook.script(lambda body: Reply(echo(body), latency=0.01))
    run = notebook.run(cell("--no-cache --concurrency 64 --max-tokens 3000000"), items=list(range(1000)))
    assert run.output == [f"<Say {i}>" for i in range(1000)]
    assert run.record.calls == 1000


def test_items_inside_items(notebook):
    bind(notebook, "%%chain words\neach(over=row, item=word)\n    Say {{ word }}\n")
    notebook.script(echo)
    run = notebook.run("%%chain\nrows(run=words, over=table, item=row)\n", table=[["a", "b"], ["c"]])
    assert run.output == [["<Say a>", "<Say b>"], ["<Say c>"]]
    assert "rows#1/1/each#1/2" in spans(run, "item")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x(item=i)\n    {{ i }}", "item= needs over="),
        ("x(over=items, item=3)\n    Hi", "item=3 cannot be read"),
        ("x(over=items +)\n    Hi", "over"),
        ("x(over=x)\n    Hi", "reads 'x', which runs later"),
        ("errors\n    Hi", "'errors'"),
        ("visits\n    Hi", "'visits'"),
        ("x(over=items, item=visits)\n    {{ visits }}", "visits"),
        ("x(over=items, item=items)\n    {{ items }}", "items"),
    ],
)
def test_a_wrong_line_is_one_clear_line(notebook, line, told):
    notebook.space["items"] = [1]
    with pytest.raises((CellError, InputError)) as caught:
        notebook.define(f"%%chain\n{line}\n")
    assert told in str(caught.value)


def test_a_batch_that_meets_its_budget_keeps_the_items_that_are_done(notebook):
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    cell = "%%chain --no-cache --concurrency 1 --max-tokens 3000\nread(over=xs)\n    {{ item }}\n"
    run = notebook.run(cell, xs=["a" * 600] * 20)
    assert run.status == "capped"
    done = [value for value in run.output if value]
    assert 0 < len(done) == len(notebook.scripted.requests) < 20
    assert run.output[: len(done)] == done


@pytest.mark.parametrize(
    ("text", "streams"),
    [
        ("%%chain --concurrency 6\neach(over=items)\n    Say {{ item }}\n", 1),
        ("%%chain --concurrency 1\neach(over=items)\n    Say {{ item }}\n", 6),
        ("%%chain\none\n    Say {{ items }}\ntwo\n    Say {{ one }}\n", 2),
        ("%%chain\none(votes=3)\n    Say {{ items }}\n", 1),
    ],
    ids=["side by side", "one by one", "steps", "votes"],
)
def test_of_calls_side_by_side_one_is_streamed_to_the_live_view(notebook, text, streams):
    notebook.script(lambda body: Reply(echo(body), latency=0.1))
    notebook.space["items"] = list("abcdef")
    run = notebook.define(text.replace("%%chain", "%%chain --no-cache", 1)).prepare()
    heard = []
    run.watch(heard.append)
    run.start()
    run.wait()
    assert run.status == "done"
    assert len({e.call for e in heard if isinstance(e, TextStreamed)}) == streams
