"""A budget does not slow a run that has money: it reserves what an answer can cost, and never passes its limit."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from budget_endpoint import Endpoint, attempts, calls, deployment, no_wait
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.errors import BudgetExceeded, InputError, TruncatedReply
from orchmagic.models.budget import Budget
from orchmagic.models.middleware.budgeting import Budgeting
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.pipeline import stack
from orchmagic.models.pricing import prices
from orchmagic.models.types import ModelRequest, ModelResponse, Schema
from orchmagic.models.wire import schema_size
from orchmagic.notebook.commands import run as orch
from orchmagic.trace.events import AttemptFailed, Usage

LABEL = Schema("label", {"enum": ["spam", "ham"]})
TEXT = None
DEAR = {"dear": {"provider": "scripted", "model": "scripted", "input_price": 1.0, "output_price": 1000.0}}
ROWS = 200


class Rows:
    """Answers `output` tokens to each of 200 rows, eight at a time; counts what is spent and how many run at once."""

    def __init__(self, output, budget, schema=LABEL, cut_says_so=True):
        self.output = itertools.cycle(output)
        self.budget = budget
        self.schema = schema
        self.cut_says_so = cut_says_so
        self.cost = 0.0
        self.at_once = []
        self.now = 0
        self.limits = []
        self.events = []

    async def endpoint(self, request):
        self.now += 1
        self.limits.append(request.max_tokens)
        wanted = next(self.output)
        usage = Usage(input=10, output=min(wanted, request.max_tokens))
        cost = prices.cost(deployment("large"), usage)
        self.cost += cost
        assert self.cost <= self.budget.money
        for _ in range(3):
            await asyncio.sleep(0)
        self.at_once.append(self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if wanted > request.max_tokens and self.cut_says_so:
            raise TruncatedReply("cut", usage=usage, cost=cost)
        return ModelResponse("spam", usage=usage, cost=cost)

    async def play(self):
        one = stack(
            self.endpoint,
            Retry(0, deployment, self.events.append, sleep=no_wait),
            Budgeting(self.budget, lambda r: deployment(r.model)),
        )
        slots = asyncio.Semaphore(8)

        async def row(number):
            async with slots:
                message = {"role": "user", "content": f"row {number}"}
                return await one(ModelRequest(f"label#1/{number}.1", "large", (message,), schema=self.schema))

        return await asyncio.gather(*(row(n) for n in range(ROWS)), return_exceptions=True)


def rows(output, share, schema=LABEL, **how):
    """Rows with a budget of `share` times what they cost without a limit."""
    whole = sum(_cost(o) for o in itertools.islice(itertools.cycle(output), ROWS))
    return Rows(output, Budget(money=share * whole), schema, **how)


def _cost(output):
    return prices.cost(deployment("large"), Usage(input=10, output=output))


@pytest.mark.parametrize("schema", [LABEL, TEXT])
@pytest.mark.parametrize("output", [[4], [3, 9, 14], [200, 220, 240]])
async def test_rows_whose_money_is_there_are_all_answered_side_by_side(output, schema):
    table = rows(output, 2.5, schema)
    answers = await table.play()
    assert all(isinstance(a, ModelResponse) for a in answers), next(
        a for a in answers if not isinstance(a, ModelResponse)
    )
    assert sum(table.at_once) / len(table.at_once) > 6.5


@pytest.mark.parametrize("output", [[4], [3, 9, 14]])
async def test_a_capped_run_has_spent_nearly_all_of_its_money(output):
    table = rows(output, 0.5)
    answers = await table.play()
    assert {type(a) for a in answers} == {ModelResponse, BudgetExceeded}
    assert table.cost > 0.7 * table.budget.money


@pytest.mark.parametrize("cut_says_so", [True, False])
async def test_a_reply_that_is_longer_than_all_before_is_asked_for_again_in_full(cut_says_so):
    table = rows([4] * 150 + [900] + [4] * 49, 3.0, TEXT, cut_says_so=cut_says_so)
    answers = await table.play()
    assert all(isinstance(a, ModelResponse) for a in answers)
    failed = [e for e in table.events if isinstance(e, AttemptFailed)]
    assert all("for which the budget had room: asked again with 1,024" in e.error for e in failed)
    assert table.budget.spent_cost == pytest.approx(table.cost)


async def test_without_need_the_request_is_sent_as_it_is():
    table = rows([4], 1000.0)
    await table.play()
    assert set(table.limits) == {1024}


@settings(max_examples=100, deadline=None)
@given(
    plan=st.lists(attempts, max_size=60),
    planned=st.lists(calls, min_size=1, max_size=12),
    money=st.floats(0, 0.1),
    max_tokens=st.integers(0, 4000),
    small=st.booleans(),
)
def test_no_schedule_of_short_and_full_replies_passes_the_limit(plan, planned, money, max_tokens, small):
    limits = {"money": money, "max_tokens": max_tokens}
    endpoint, budget = Endpoint(plan, limits), Budget(**limits)
    handler = stack(
        endpoint, Retry(2, deployment, lambda _: None, sleep=no_wait), Budgeting(budget, lambda r: deployment(r.model))
    )

    async def one(number, start, text, limit, cancelled):
        for _ in range(start):
            await asyncio.sleep(0)
        schema = LABEL if small else TEXT
        message = {"role": "user", "content": text}
        task = asyncio.create_task(
            handler(ModelRequest(f"a#1/{number}.1", "small", (message,), max_tokens=limit, schema=schema))
        )
        for _ in range(cancelled or 0):
            await asyncio.sleep(0)
        if cancelled is not None:
            task.cancel()
        await asyncio.wait([task])
        return None if task.cancelled() else task.exception()

    async def play():
        await asyncio.gather(*(one(n, *call) for n, call in enumerate(planned)))

    asyncio.run(play())
    assert not endpoint.passed
    assert budget.reserved == {}
    assert endpoint.cost <= budget.spent_cost + 1e-9
    assert endpoint.tokens <= budget.spent_tokens


CLOSED = {"additionalProperties": False, "type": "object"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["a", "long label"]}, "long label"),
        ({"const": 7}, 7),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": "integer"}, -123456789012345678),
        ({"type": "number"}, -1.2345678901234567e-300),
        ({"type": "string", "maxLength": 5}, "\x01" * 5),
        ({"type": "string", "format": "date"}, "2026-11-30"),
        ({"anyOf": [{"type": "null"}, {"enum": ["x", "yy"]}]}, "yy"),
        ({"type": ["boolean", "null"]}, False),
        ({"type": "array", "maxItems": 3, "items": {"enum": ["ab"]}}, ["ab"] * 3),
        (CLOSED | {"properties": {"a": {"type": "boolean"}, "b": {"enum": ["x"]}}}, {"a": False, "b": "x"}),
        ({"$ref": "#/$defs/L", "$defs": {"L": {"enum": ["one"]}}}, "one"),
    ],
)
def test_the_largest_reply_of_a_closed_schema_is_known(schema, value):
    found = schema_size.largest(schema)
    assert len(json.dumps(value, separators=(",", ":"))) <= found <= 64


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "array", "items": {"type": "boolean"}},
        {"type": "object", "properties": {"a": {"type": "boolean"}}},
        CLOSED | {"properties": {"a": {"type": "boolean"}, "why": {"type": "string"}}},
        {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
        {"$ref": "#/$defs/L", "$defs": {"L": {"$ref": "#/$defs/L"}}},
        {"$ref": "#/nowhere"},
    ],
)
def test_an_open_schema_has_no_largest_reply(schema):
    assert schema_size.largest(schema) is None


CELL = "%%chain outer --no-cache --budget {}\nfirst\n    One of {{{{ topic }}}}\nsecond\n    Two of {{{{ first }}}}"


@pytest.fixture
def dear(notebook):
    notebook.session.add_models(DEAR)
    notebook.session.services.environ["ORCHMAGIC_MODEL"] = "dear"
    notebook.session.reload()
    notebook.script(lambda body: "fine words")
    return notebook


WAYS = {
    "python": lambda book, run: run.resume(budget=5.0),
    "command": lambda book, run: orch(book.session, f"resume {run.id} --budget 5"),
    "command, with =": lambda book, run: orch(book.session, f"resume {run.id} --budget=5"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_capped_run_goes_on_with_a_higher_budget_and_pays_nothing_twice(dear, way):
    run = dear.run(CELL.format(1.026), topic="bees")
    assert (run.status, len(dear.scripted.requests)) == ("capped", 1)
    assert "run.resume(budget=" in run.reason
    again = WAYS[way](dear, run)
    assert (again.id, again.status, len(dear.scripted.requests)) == (run.id, "done", 2)
    assert again.record.limits["budget"] == 5.0
    assert again.cost == pytest.approx(dear.session.services.budget.whole.spent_cost)


def test_a_run_that_is_capped_by_tokens_goes_on_with_more(dear):
    run = dear.run(CELL.format("none --max-tokens 1110"), topic="bees")
    assert run.status == "capped"
    assert run.resume(max_tokens=5_000).status == "done"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--budget much", "much"),
        ("--budget none", "takes --budget and --max-tokens with an amount"),
        ("--budget 5 --model large", "takes --budget and --max-tokens with an amount"),
        ("--budget -1", "-1"),
    ],
)
def test_what_is_no_higher_limit_is_refused_and_the_run_stays_as_it_was(dear, line, said):
    run = dear.run(CELL.format(1.026), topic="bees")
    with pytest.raises(InputError, match=said):
        orch(dear.session, f"resume {run.id} {line}")
    assert (run.status, len(dear.scripted.requests)) == ("capped", 1)


@pytest.mark.parametrize("wrong", [-1, 0, True, "5", float("nan"), float("inf")])
def test_a_limit_in_python_is_a_positive_number(dear, wrong):
    run = dear.run(CELL.format(1.026), topic="bees")
    with pytest.raises(InputError, match="is no limit: write US dollars"):
        run.resume(budget=wrong)
