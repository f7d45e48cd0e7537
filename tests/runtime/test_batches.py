"""Cells whose calls go through a Batch API: what they cost, say and wait for, and what a later kernel collects."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from desk import Desk

from orchmagic import Reply
from orchmagic.core.limits import DEADLINE
from orchmagic.errors import InputError, SettingsError
from orchmagic.models.batching import AT_ONCE

PRICES = {"input_price": 10.0, "output_price": 20.0}
SORT = """%%chain sort LINE
kinds(over=papers, item=paper) -> label: "invoice" | "letter"
    Classify {{ paper }}
report
    Sum up {{ kinds }}
"""
PAPERS = [f"paper {n}" for n in range(5)]


def sorter(body: Any) -> Any:
    text = body["messages"][-1]["content"]
    return {"label": "letter" if "paper" in text else "invoice"} if "response_format" in body else f"report: {text[:6]}"


@pytest.fixture
def desk(notebook: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Aliases: `night` goes in batches, `day` can, `here` cannot."""
    monkeypatch.chdir(tmp_path)
    made = Desk(notebook, tmp_path)
    made.serve("one", sorter)
    made.project(
        "night",
        models={
            "night": made.at("one", batch=True, **PRICES),
            "day": made.at("one", **PRICES),
            "here": {"provider": "scripted", "model": "scripted"},
        },
        batch_quiet=0.05,
        batch_poll=0.02,
    )
    notebook.space["papers"] = PAPERS
    yield made
    made.close()


def cell(line: str = "", text: str = SORT) -> str:
    return text.replace("LINE", line)


def sizes(desk: Desk) -> list[int]:
    return [len(b) for b in desk.servers["one"].batches.received]


@pytest.mark.parametrize("line", ["", "--model day --batch"])
def test_a_cell_goes_in_waves_at_half_the_price(desk: Desk, line: str) -> None:
    run = desk.run(cell(line))
    assert run.status == "done"
    assert sizes(desk) == [5, 1]
    assert [kind["label"] for kind in run.state["kinds"]] == ["letter"] * 5
    usage = run.record.usage
    assert run.cost == pytest.approx((usage.input * 10 + usage.output * 20) / 2e6)
    assert sum(row["cost"] for row in run.receipt()) == pytest.approx(run.cost)
    assert re.search(r"answered by a batch \(5 requests, sent \d\d:\d\d\)", run.receipt().text)


def test_the_same_cell_without_batches_costs_the_full_price(desk: Desk) -> None:
    run = desk.run(cell("--model day"))
    assert sizes(desk) == []
    assert run.cost == pytest.approx((run.record.usage.input * 10 + run.record.usage.output * 20) / 1e6)


def test_a_stored_answer_is_in_no_batch(desk: Desk) -> None:
    desk.run(cell("--model day"))
    run = desk.run(cell("--model day --batch"))
    assert run.record.cached == 6
    assert sizes(desk) == []
    desk.run(cell("--refresh"))
    assert desk.run(cell("--model day")).record.cached == 6, "an answer of a batch is stored as well"
    assert sizes(desk) == [5, 1]


def test_what_a_guard_blocks_is_in_no_batch(desk: Desk) -> None:
    desk.notebook.space["papers"] = [*PAPERS[:2], "card 4111 1111 1111 1111"]
    run = desk.run(cell("--guard pii=block"))
    assert sizes(desk)[0] == 2
    assert len(run.dead_letters) == 1


def test_a_budget_reserves_and_counts_half_the_price(desk: Desk) -> None:
    text = "%%chain one LINE\nanswer(max_tokens=100)\n    Say it\n"
    assert desk.run(cell("--budget 0.0025 --model day", text)).status == "capped"
    assert desk.run(cell("--budget 0.0025", text)).status == "done"
    assert desk.session.services.budget.whole.spent_cost < 0.0005


def test_a_request_is_the_same_whatever_room_the_budget_has(desk: Desk) -> None:
    text = '%%chain one LINE\nanswer(max_tokens=100) -> label: "letter" | "invoice"\n    The paper: {{ papers }}\n'
    for budget in ("0.005", "0.01"):
        desk.run(cell(f"--no-cache --budget {budget}", text))
    first, second = (next(iter(batch.values())) for batch in desk.servers["one"].batches.received)
    assert first == second
    assert first["max_tokens"] == 100


def test_what_can_be_tried_again_goes_into_the_next_batch(desk: Desk) -> None:
    desk.project("night", 1, models={"night": desk.at("one", batch=True, **PRICES)}, batch_quiet=0.05, batch_poll=0.02)
    desk.servers["one"].batches.ends = ["expired"]
    run = desk.run(cell())
    assert run.status == "done"
    assert sizes(desk) == [5, 3, 1]
    assert not run.dead_letters


def test_a_failed_request_goes_to_the_fallback(desk: Desk) -> None:
    desk.serve("two", sorter)
    desk.servers["one"].batches.ends = ["expired", "completed"]
    night = desk.at("one", batch=True, **PRICES)
    desk.project("night", models={"night": night, "other": desk.at("two")}, batch_quiet=0.05, batch_poll=0.02)
    run = desk.run(cell("--fallback other"))
    assert run.status == "done"
    assert sizes(desk)[0] == 5
    assert desk.asked("two") == (3,)


def test_an_endpoint_without_batches_fails_with_one_line_and_pays_nothing(desk: Desk) -> None:
    desk.servers["one"].batches.enabled = False
    run = desk.run(cell())
    assert run.status == "failed"
    assert " has no Batch API (404 for /files): nothing was sent" in str(run.error)
    assert "Leave out --batch" in str(run.error)
    assert run.cost == 0
    assert desk.asked("one") == (0,)


def test_a_run_that_is_stopped_says_what_goes_on_and_the_same_cell_collects_it(desk: Desk) -> None:
    server = desk.servers["one"]
    server.batches.looks = 10**6
    run = desk.define(cell()).start()
    wait_for(run, "waiting for a batch (5 requests")
    run.cancel()
    run.wait()
    assert run.status == "cancelled"
    kernel = desk.session.services.budget.whole
    assert (kernel.spent_cost, kernel.spent_tokens) == (0, 0), "counted when it is collected"
    assert run.record.perhaps == 5
    (said,) = [s for s in desk.notebook.said if "batch_1" in s]
    assert "goes on (5 requests, sent" in said
    assert "%orch batches cancel batch_1" in said
    assert re.search(r"batch_1 +night +5 of 5 .* in_progress, 0 of 5 done", desk.orch("batches"))
    desk.restart()
    server.batches.end_all()
    again = desk.run(cell())
    assert again.status == "done"
    assert sizes(desk) == [5, 1]
    assert len(server.requests) == 6
    assert again.cost == pytest.approx((again.record.usage.input * 10 + again.record.usage.output * 20) / 2e6)
    desk.restart()
    assert desk.orch("batches") == "No batch waits to be collected."


def test_a_resumed_run_collects_its_batch(desk: Desk) -> None:
    server = desk.servers["one"]
    server.batches.looks = 10**6
    run = desk.define(cell("--no-cache")).start()
    wait_for(run, "waiting for a batch (5 requests")
    run.cancel()
    run.wait()
    server.batches.end_all()
    run.resume()
    assert run.status == "done"
    assert sizes(desk) == [5, 1]
    assert len(server.requests) == 6


def test_a_batch_can_be_cancelled_and_what_was_answered_is_collected(desk: Desk) -> None:
    server = desk.servers["one"]
    server.batches.looks = 10**6
    run = desk.define(cell()).start()
    wait_for(run, "waiting for a batch (5 requests")
    server.batches.looks = 0
    assert "batch_1 is cancelled" in desk.orch("batches cancel batch_1")
    run.wait()
    assert run.status == "done"
    assert [kind is None for kind in run.state["kinds"]] == [False, False, True, True, True]
    assert {letter["error"] for letter in run.dead_letters} == {
        "This request was cancelled with its batch: nothing was paid for this request"
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [("cancel nobody", "no batch 'nobody' (known: none)"), ("stop", "%orch batches cancel ID")],
)
def test_a_wrong_command_says_what_to_write(desk: Desk, words: str, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        desk.orch(f"batches {words}")


def wait_for(run: Any, text: str) -> None:
    """Waits until the trace of a run says this."""
    there = threading.Event()

    def look(_: object) -> None:
        if text in " ".join(str(w) for span in run.record.spans for w in span.why):
            there.set()

    run.watch(look)
    look(None)
    assert there.wait(60)


@pytest.mark.parametrize(
    ("line", "deadline", "at_once"),
    [
        ("", None, AT_ONCE),
        ("--model day --batch", None, AT_ONCE),
        ("--model day", DEADLINE, 16),
        ("--model here --batch", DEADLINE, 16),
        ("--deadline 600s --concurrency 16", DEADLINE, 16),
        ("--deadline 1h --concurrency 3", 3600, 3),
    ],
)
def test_the_built_in_limits_do_not_end_a_wait_and_those_that_are_written_do(
    desk: Desk, line: str, deadline: float | None, at_once: int
) -> None:
    limits = desk.define(cell(line)).definition.limits
    assert (limits.deadline, limits.concurrency) == (deadline, at_once)


REACT = "%%react agent --tools look LINE\nYou help. {{ question }}\n"
REFINE = """%%refine essay LINE
generate
    Write.
evaluate -> score: int
    Score {{ generate }}
until evaluate.score > 8 max 3
"""


def look(word: str) -> str:
    """Look a word up."""
    return word


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (REACT, "", "Each turn of agent waits for a batch of its own, up to 24 h: up to 8 in a row"),
        (REFINE, "", "Each turn of essay waits for a batch of its own"),
        (SORT, "", ""),
        (SORT, "--model day", ""),
        (REACT, "--model day", ""),
        (SORT, "--deadline 1h", "the deadline is 3600 s: the run ends then and the batch goes on"),
        (SORT, "--deadline 48h", ""),
        (SORT, "--timeout 30s", "--timeout does not hold for calls in a batch"),
        (SORT, "--model here --batch", "here has no Batch API, and is called directly at its full price"),
    ],
)
def test_the_cell_says_what_a_wait_of_a_day_means_for_it(desk: Desk, text: str, line: str, says: str) -> None:
    desk.notebook.space["look"] = look
    desk.notebook.said.clear()
    desk.define(cell(line, text))
    about = [s for s in desk.notebook.said if "atch" in s or "Batch" in s]
    assert len(about) == bool(says)
    assert says in "".join(about)


def test_the_dry_run_counts_waves_and_half_the_price(desk: Desk) -> None:
    fork = """%%parallel both LINE
one
    First {{ ticket }}
two
    Second {{ ticket }}
merge
    {{ one }} {{ two }}
"""
    desk.notebook.space["ticket"] = "t"
    by_day = desk.define(cell("--model day", fork)).estimate()
    by_night = desk.define(cell("--model day --batch", fork)).estimate()
    assert (by_night.batched, by_night.waves, by_day.batched) == (3, 2, 0)
    assert "Batches: 3 steps, up to 2 waves in a row, each up to 24 h." in by_night.text()
    assert "Batches" not in by_day.text()
    assert by_night.cost is not None
    assert by_day.cost is not None
    assert by_night.cost.high == pytest.approx(by_day.cost.high / 2)
    chain = "%%chain three\na\n    A\nb\n    {{ a }}\nc\n    {{ b }}\n"
    assert desk.define(chain).estimate().waves == 3


def test_a_limit_of_tokens_that_holds_calls_back_is_said(desk: Desk) -> None:
    desk.run(cell("--max-tokens 4000"))
    (said,) = [s for s in desk.notebook.said if "--max-tokens" in s]
    assert "kinds: --max-tokens 4,000 has room for 3 of 5 calls at a time" in said


def test_rows_of_map_go_out_together(desk: Desk) -> None:
    desk.project("day", models={"day": desk.at("one", **PRICES)}, batch_quiet=2.0, batch_poll=0.02)
    made = desk.define("%%chain answer --batch\nout\n    Say {{ q }}\n")
    rows = made.map([{"q": f"paper {n}"} for n in range(100)])
    assert [row["_status"] for row in rows] == ["done"] * 100
    assert sizes(desk) == [100]


def test_rows_on_workers_are_refused(desk: Desk) -> None:
    made = desk.define("%%chain answer --batch\nout\n    Say {{ q }}\n")
    with pytest.raises(InputError, match="rows that wait for batches run in this kernel"):
        made.map([{"q": "a"}], engine="processes")


def test_an_inner_cell_waits_in_a_cell_with_batch(desk: Desk) -> None:
    desk.notebook.space["inner"] = desk.define("%%chain inner --model day --no-run\nsay\n    Say {{ q }}\n")
    run = desk.run("%%chain outer --model day --batch\nq\n    Ask\ngot = inner(q=q)\nlast\n    {{ got }}\n")
    assert run.status == "done"
    assert sizes(desk) == [1, 1, 1]


def test_an_alias_of_a_provider_without_batches_is_refused(desk: Desk) -> None:
    desk.project(models={"x": {"provider": "scripted", "model": "scripted", "batch": True}})
    with pytest.raises(SettingsError, match=r"models.x has batch = true, and 'scripted' has no Batch API"):
        desk.session.services.models.resolve("x")


@pytest.mark.parametrize(("words", "discount"), [("batch=true", None), ("batch=true batch_discount=0.25", 0.25)])
def test_an_alias_of_this_kernel_goes_in_batches(desk: Desk, words: str, discount: float | None) -> None:
    desk.orch(f"models add late base_url={desk.urls['one']} model=m {words} input_price=10 output_price=20")
    found = desk.session.services.models.resolve("late")
    assert (found.batch, found.batch_discount) == (True, discount)


def test_the_table_of_models_says_which_prices_are_those_of_batches(desk: Desk) -> None:
    rows = {row.split()[0]: row for row in desk.orch("models").splitlines() if row.strip()}
    assert re.search(r"\(batches\) +5 +10 ", rows["night"])
    assert re.search(r" 10 +20 ", rows["day"])
    assert "(batches)" not in rows["day"]


@pytest.mark.parametrize("value", [1, -0.1, "half", True])
def test_a_discount_that_is_none_is_refused(desk: Desk, value: Any) -> None:
    with pytest.raises(InputError, match="from 0 to below 1"):
        desk.orch(f"models add late model=m batch=true batch_discount={json.dumps(value)}")


def test_an_exported_module_says_that_it_calls_directly(desk: Desk, tmp_path: Any) -> None:
    for line, names in (("", "'night'"), ("--model day --batch", "'day'"), ("--model day", "")):
        path = desk.define(cell(line)).export(tmp_path / "sort.py", overwrite=True)
        says = " ".join(path.read_text(encoding="utf-8").split())
        assert f"the Batch API for {names}: the module calls it directly, at the full price" in says or not names
        assert ("Batch API" in says) is bool(names)


def test_a_reply_that_does_not_fit_waits_for_one_more_batch(desk: Desk) -> None:
    replies = iter([Reply("no"), Reply({"label": "letter"}), Reply("done")])
    desk.scripts["one"]._find = lambda _: next(replies)
    desk.notebook.space["papers"] = ["one"]
    assert desk.run(cell()).status == "done"
    assert sizes(desk) == [1, 1, 1]
