"""One limit for all runs of a kernel: shared by what runs at once, kept through every schedule, told by `%orch budget`."""

from __future__ import annotations

import asyncio
import threading

import pytest
from budget_endpoint import Endpoint, attempts, calls, deployment, no_wait
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic import Script, Session, install
from orchmagic.core.money import SpendLimit, spend_limit
from orchmagic.errors import InputError, SettingsError
from orchmagic.models.budget import Budget
from orchmagic.models.middleware.budgeting import Budgeting
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.pipeline import stack
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import ModelRequest
from orchmagic.notebook.commands import run as orch
from orchmagic.runtime.live_settings import LiveSettings
from orchmagic.runtime.services import KernelBudget
from orchmagic.trace.humanize import money

CELL = "%%chain {} --no-cache\nsay\n    About {{{{ topic }}}}"
DEAR = {"dear": {"provider": "scripted", "model": "scripted", "input_price": 1000.0, "output_price": 1000.0}}


def limits(notebook):
    kernel = notebook.session.services.budget.whole
    return kernel.money, kernel.max_tokens


@pytest.mark.parametrize(
    ("written", "money", "tokens"),
    [
        ("0.50", 0.5, None),
        ("$2", 2.0, None),
        (0.5, 0.5, None),
        (3, 3.0, None),
        ("0.50 dollars", 0.5, None),
        ("100k tokens", None, 100_000),
        ("1.5M tokens", None, 1_500_000),
        ("100,000 tokens", None, 100_000),
        ("0.50, 100k tokens", 0.5, 100_000),
        ("100k tokens and 0.50", 0.5, 100_000),
        ("off", None, None),
        ("none", None, None),
        (None, None, None),
        ("0", 0.0, None),
    ],
)
def test_a_limit_is_read_as_people_write_it(written, money, tokens):
    assert spend_limit(written) == SpendLimit(money, tokens)


@pytest.mark.parametrize(
    "wrong", ["much", "", "-1", "1, 2", "1k tokens, 2 tokens", True, "nan", "k tokens", ", tokens"]
)
def test_what_is_no_limit_says_what_to_write(wrong):
    with pytest.raises(ValueError, match=r"US dollars \(0.50\), tokens \(100k tokens\)"):
        spend_limit(wrong)


def test_a_run_beyond_it_is_capped_before_the_call_and_says_whose_limit_it_was(notebook):
    notebook.run(CELL.format("first"), topic="bees")
    spent = notebook.session.services.budget.whole.spent_tokens
    orch(notebook.session, "budget 1k tokens")
    run = notebook.run(CELL.format("second"), topic="bees")
    assert run.status == "capped"
    assert run.reason.startswith(
        f"notebook budget of tokens (all runs of this kernel): limit 1,000, spent {spent}, the next call could take"
    )
    assert "write %orch budget 2000 tokens, or %orch budget off" in run.reason
    assert len(notebook.scripted.requests) == 1
    orch(notebook.session, "budget 2000 tokens")
    assert run.resume().status == "done"


def test_the_limit_that_an_error_proposes_is_enough(notebook):
    notebook.session.add_models(DEAR)
    orch(notebook.session, "budget 0.01")
    run = notebook.run(CELL.format("c --model dear"), topic="bees")
    assert run.status == "capped"
    proposed = run.reason.partition("%orch ")[2].partition(",")[0]
    orch(notebook.session, proposed)
    assert run.resume().status == "done"


def test_the_runs_own_limit_still_says_that_it_is_the_runs(notebook):
    orch(notebook.session, "budget 100k tokens")
    run = notebook.run(CELL.format("c --max-tokens 5"), topic="bees")
    assert run.reason.startswith("max-tokens: limit 5,")


def test_a_price_that_is_unknown_is_not_spent_under_a_limit_of_money(notebook):
    nobody = {"provider": "openai", "model": "nobody-1", "base_url": "http://127.0.0.1:9/v1"}
    notebook.session.add_models({"new": nobody})
    orch(notebook.session, "budget 1")
    run = notebook.run(CELL.format("c --model new"), topic="bees")
    assert run.status == "capped"
    assert run.reason.startswith("notebook budget: limit $1, but the price of 'new' (nobody-1) is unknown")


def test_cached_and_replayed_answers_cost_nothing(notebook):
    cell = "%%chain c\nsay\n    About {{ topic }}"
    run = notebook.run(cell, topic="bees")
    spent = notebook.session.services.budget.whole.spent_tokens
    assert spent == run.tokens > 0
    assert notebook.run(cell, topic="bees").record.cached == 1
    assert run.replay().status == "done"
    orch(notebook.session, "budget 1 tokens")
    assert notebook.run(cell, topic="bees").status == "done"
    assert notebook.session.services.budget.whole.spent_tokens == spent


def test_what_a_run_paid_counts_once_however_often_it_goes_on(notebook):
    run = notebook.run(CELL.format("c") + '\napprove "Send it?"\nend\n    Thank {{ topic }}', topic="bees")
    assert run.status == "waiting"
    run.approve()
    assert run.status == "done"
    assert notebook.session.services.budget.whole.spent_tokens == run.tokens


def test_a_new_kernel_begins_with_nothing_spent_and_tells_what_the_day_took(notebook):
    notebook.space["__session__"] = "may/bees.ipynb"
    run = notebook.run(CELL.format("c") + '\napprove "Send it?"\nend\n    Thank {{ topic }}', topic="bees")
    other = Session(dict(notebook.space), environ=notebook.session.services.environ)
    install(Script())
    again = other.lookup.run(run.id).approve()
    assert other.services.budget.whole.spent_tokens == again.tokens - run.tokens > 0
    told = str(orch(other, "budget"))
    other.close()
    assert f"This kernel spent {again.tokens - run.tokens} tokens, $0; no limit." in told
    assert f"Today, bees.ipynb, all its kernels: {again.tokens} tokens, $0 in 1 run." in told


def test_it_shows_what_is_left_and_who_spent_it(notebook):
    notebook.session.add_models(DEAR)
    for name in ("small --model scripted", "large --model dear"):
        notebook.run(CELL.format(name), topic="bees")
    large = notebook.session.runs[-1]
    first, head, *rows = str(orch(notebook.session, "budget 5")).splitlines()
    assert first.endswith(f", {money(large.cost)}; limit $5.00, left {money(5 - large.cost)}.")
    assert head.split() == ["name", "spent", "tokens"]
    assert [row.split()[0] for row in rows[:2]] == ["large", "small"]
    assert rows[0].split()[1:] == [money(large.cost), f"{large.tokens:,}"]


def test_what_broke_off_is_told_apart_because_the_history_lacks_it(notebook):
    asked, go_on = threading.Event(), threading.Event()

    def slow(body):
        if "wasps" in str(body["messages"]):
            asked.set()
            go_on.wait(20)
        return "ok"

    with serve(slow) as server:
        model = {"base_url": server.base_url, "model": "m", "input_price": 1.0, "output_price": 1.0}
        notebook.session.add_models({"own": model})
        whole = notebook.run(CELL.format("c --model own"), topic="bees")
        assert "broke off" not in orch(notebook.session, "budget")
        broken = notebook.define(CELL.format("c --model own")).prepare(topic="wasps")
        broken.start()
        assert asked.wait(20)
        assert "; 1 call under way." in orch(notebook.session, "budget")
        broken.cancel()
        go_on.set()
    purse = notebook.session.services.budget.whole
    told = str(orch(notebook.session, "budget"))
    assert (purse.lost, purse.guessed.tokens) == (1, purse.spent_tokens - whole.tokens)
    assert f"Of that {purse.guessed.tokens:,} tokens, {money(purse.guessed.cost)} for 1 call that broke off" in told
    assert f"all kernels: {whole.tokens} tokens" in told
    assert told.endswith(" in 2 runs.")


def test_calls_without_a_price_are_told_in_both_sums(notebook):
    with serve(Script()) as server:
        notebook.session.services.environ.update({"OPENAI_BASE_URL": server.base_url})
        run = notebook.run(CELL.format("c --model nobodys"), topic="bees")
    assert str(orch(notebook.session, "budget")).count(f"{run.tokens} tokens, No price known (1 call)") == 2


def test_small_sums_and_limits_have_no_exponent(notebook):
    notebook.session.add_models(DEAR)
    assert "limit $0.000001, left $0.000001." in orch(notebook.session, "budget 0.000001")
    run = notebook.run(CELL.format("c --model dear"), topic="bees")
    assert run.reason.startswith("notebook budget (all runs of this kernel): limit $0.000001, spent $0, the next")
    assert str(SpendLimit(1e-6, 1)) == "$0.000001 and 1 token"


def test_each_side_is_set_alone_and_off_lifts_both(notebook):
    orch(notebook.session, "budget 5")
    orch(notebook.session, "budget 10k tokens")
    assert limits(notebook) == (5.0, 10_000)
    orch(notebook.session, "budget off")
    assert limits(notebook) == (None, None)


def test_a_wrong_line_says_what_to_write(notebook):
    with pytest.raises(InputError, match=r"%orch budget lots: write US dollars \(0.50\)"):
        orch(notebook.session, "budget lots")


def test_the_settings_hold_until_the_notebook_says_something_and_a_new_setting_is_said_later(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_NOTEBOOK_BUDGET": "2, 5k tokens"})
    notebook.session.reload()
    assert limits(notebook) == (2.0, 5_000)
    orch(notebook.session, "budget 3")
    notebook.session.reload()
    assert limits(notebook) == (3.0, 5_000)
    notebook.session.services.environ.update({"ORCHMAGIC_NOTEBOOK_BUDGET": "4"})
    notebook.session.reload()
    assert limits(notebook) == (4.0, None)


def test_a_wrong_setting_says_where_and_what(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_NOTEBOOK_BUDGET": "lots"})
    with pytest.raises(SettingsError, match=r"(?i)notebook_budget is 'lots': write US dollars"):
        notebook.run(CELL.format("c"), topic="bees")


def test_it_ends_the_whole_run_also_from_within_a_nested_one(notebook):
    notebook.space["inner"] = notebook.define("%%chain inner --no-cache\nsay\n    About {{ topic }}")
    orch(notebook.session, "budget 5 tokens")
    run = notebook.run("%%chain outer --no-cache\nx = inner(topic=topic)\nend\n    Thank {{ x }}", topic="bees")
    assert run.status == "capped"
    assert run.reason.startswith("notebook budget of tokens")
    assert notebook.scripted.requests == []


def test_the_compiled_graph_alone_spends_from_it_too(notebook):
    made = notebook.define(CELL.format("c"))
    asyncio.run(made.graph.ainvoke({"topic": "bees"}))
    assert notebook.session.services.budget.names["c"].spent_tokens > 0
    assert (
        notebook.session.services.budget.whole.spent_tokens == notebook.session.services.budget.names["c"].spent_tokens
    )


def test_runs_in_the_background_share_it_and_never_pass_it(notebook):
    limit = 3_500  # the worst case of a call is some 1,150: three at once, and no fourth beside them
    orch(notebook.session, f"budget {limit} tokens")
    made = notebook.define(CELL.format("c --background"))
    for topic in range(12):
        made(topic="bee " * (300 + topic))
    runs = [run.wait() for run in notebook.session.runs]
    whole = notebook.session.services.budget.whole
    assert {run.status for run in runs} == {"done", "capped"}
    assert sum(run.tokens for run in runs) == whole.spent_tokens <= limit
    assert whole.reserved == {}
    assert all(run.reason.startswith("notebook budget") for run in runs if run.status == "capped")


async def play(endpoint, purse, planned):
    async def one(number, call, name, own):
        start, text, limit, cancelled = call
        budget = Budget(max_tokens=own, parent=purse.of(name))
        handler = stack(
            endpoint,
            Retry(2, deployment, lambda _: None, sleep=no_wait),
            Budgeting(budget, lambda r: deployment(r.model)),
        )
        for _ in range(start):
            await asyncio.sleep(0)
        message = {"role": "user", "content": text}
        task = asyncio.create_task(handler(ModelRequest(f"a#1.{number}", "small", (message,), max_tokens=limit)))
        if cancelled is not None:
            for _ in range(cancelled):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        return None if task.cancelled() else task.exception()

    return await asyncio.gather(*(one(n, *call) for n, call in enumerate(planned)))


@settings(max_examples=200, deadline=None)
@given(
    plan=st.lists(attempts, max_size=30),
    planned=st.lists(
        st.tuples(calls, st.sampled_from(["triage", "report"]), st.none() | st.integers(0, 2000)),
        min_size=1,
        max_size=8,
    ),
    max_tokens=st.integers(0, 4000),
    money=st.floats(0, 0.1),
)
def test_no_schedule_of_many_runs_passes_the_limit_of_all(plan, planned, max_tokens, money):
    limits, limit = {"max_tokens": max_tokens, "money": money}, {"notebook_budget": f"{money!r}, {max_tokens} tokens"}
    endpoint, purse = Endpoint(plan, limits), KernelBudget(LiveSettings({}, lambda: limit))
    asyncio.run(play(endpoint, purse, planned))
    whole, names = purse.whole, purse.names.values()
    assert not endpoint.passed
    assert whole.reserved == {}
    assert endpoint.tokens <= whole.spent_tokens <= max_tokens
    assert endpoint.cost <= whole.spent_cost + 1e-9 <= money + 1e-8
    assert sum(n.spent_tokens for n in names) == whole.spent_tokens
    assert sum(n.spent_cost for n in names) == pytest.approx(whole.spent_cost)
