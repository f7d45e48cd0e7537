"""A run never spends past its limit, whatever fails, is cancelled, or happens at once."""

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.core.tokens import IMAGE
from orchmagic.errors import (
    BudgetExceeded,
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    RateLimited,
    RequestRejected,
    ServerFailed,
    SettingsError,
)
from orchmagic.models.budget import Budget, Spend
from orchmagic.models.middleware.budgeting import Budgeting, worst_cases
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, ToolSpec
from orchmagic.models.wire import chat_completions
from orchmagic.trace.events import Usage

PRICED = Deployment("small", "openai", "m", input_price=1.0, output_price=4.0)
UNPRICED = Deployment("small", "openai", "m", base_url="http://127.0.0.1:1/v1")
REQUEST = ModelRequest(call="a#1.1", model="small", messages=({"role": "user", "content": "hi"},), max_tokens=100)
OTHER = replace(REQUEST, call="b#1.1")  # another step, whose replies may be longer


def worst_case(request, deployment):
    return worst_cases(request, deployment, [request.max_tokens])[0]


WORST = worst_case(REQUEST, PRICED)


def usage(tokens):
    return Usage(input=tokens - 1, output=1)


class Desk:
    """A budget and a model behind it; `outcome` is raised or returned."""

    def __init__(self, outcome=None, deployment=PRICED, **limits):
        self.budget = Budget(**limits)
        self.outcome = outcome or ModelResponse("yes", usage=usage(10), cost=0.25)
        self.asked = 0
        self.middleware = Budgeting(self.budget, lambda _: deployment)

    async def handler(self, request):
        self.asked += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    async def ask(self, request=REQUEST):
        return await self.middleware(request, self.handler)


def test_an_image_counts_with_the_most_that_it_can_be_billed():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": "[image/png, 0 kB]"}  # what is counted of the body itself

    def tokens(*parts):
        return worst_case(replace(REQUEST, messages=({"role": "user", "content": list(parts)},)), PRICED).tokens

    assert tokens(picture) - tokens(text) == IMAGE
    assert tokens(picture, picture) - tokens(text, text) == 2 * IMAGE


async def test_an_answer_is_booked_as_it_was_billed():
    desk = Desk(max_tokens=10_000, money=1.0)
    assert (await desk.ask()).text == "yes"
    assert (desk.budget.spent_tokens, desk.budget.spent_cost) == (10, 0.25)


async def test_without_limits_it_only_counts():
    desk = Desk()
    for _ in range(3):
        await desk.ask()
    assert (desk.budget.spent_tokens, desk.budget.spent_cost) == (30, 0.75)


@pytest.mark.parametrize(
    ("outcome", "booked"),
    [
        (EmptyReply("nothing", usage=usage(7), cost=0.5), Spend(7, 0.5)),
        (EmptyReply("nothing", usage=usage(7)), Spend(7, WORST.cost)),
        (ModelResponse("yes", usage=usage(7)), Spend(7, WORST.cost)),
        (EmptyReply("nothing"), Spend()),
        (RateLimited("429"), Spend()),
        (ServerFailed("500"), Spend()),
        (RequestRejected("400"), Spend()),
        (SettingsError("no key"), Spend()),
        (CallTimeout("late"), WORST),
        (ConnectionLost("cut"), WORST),
        (asyncio.CancelledError(), WORST),
        (ValueError("a bug"), WORST),
    ],
)
async def test_what_nobody_knows_is_booked_as_the_worst_case(outcome, booked):
    desk = Desk(outcome)
    if isinstance(outcome, BaseException):
        with pytest.raises(type(outcome)):
            await desk.ask()
    else:
        await desk.ask()
    assert Spend(desk.budget.spent_tokens, desk.budget.spent_cost) == booked


async def test_a_connection_that_never_came_about_costs_nothing():
    refused = ConnectionLost("nothing answers")
    refused.may_have_spent = False
    desk = Desk(refused)
    with pytest.raises(ConnectionLost):
        await desk.ask()
    assert desk.budget.spent_tokens == 0


async def test_the_call_that_could_pass_the_token_limit_is_not_made():
    desk = Desk(max_tokens=WORST.tokens + 9)
    await desk.ask()  # 10 tokens
    with pytest.raises(BudgetExceeded) as caught:
        await desk.ask(OTHER)
    assert desk.asked == 1
    assert str(caught.value) == (
        f"max-tokens: limit {WORST.tokens + 9}, spent 10, the next call could take up to {WORST.tokens}: "
        "raise --max-tokens, or lower max_tokens of the step; run.resume(max_tokens=420) goes on"
    )


async def test_the_call_that_could_pass_the_money_limit_is_not_made():
    desk = Desk(ModelResponse("yes", usage=usage(10), cost=0.0042), money=0.0045)
    await desk.ask()
    with pytest.raises(BudgetExceeded) as caught:
        await desk.ask(OTHER)
    assert desk.asked == 1
    assert str(caught.value) == (
        f"budget: limit $0.0045, spent $0.0042, the next call could cost up to ${WORST.cost:.4g}: "
        "raise --budget, or lower max_tokens of the step; run.resume(budget=0.009) goes on"
    )


async def test_a_limit_can_be_spent_to_the_last_token_and_cent():
    answer = ModelResponse("yes", usage=usage(WORST.tokens), cost=WORST.cost)
    desk = Desk(answer, max_tokens=3 * WORST.tokens, money=3 * WORST.cost)
    for _ in range(3):
        await desk.ask()
    with pytest.raises(BudgetExceeded):
        await desk.ask()


async def test_float_sums_refuse_no_call_that_fits():
    budget = Budget(money=0.3)  # 0.1 + 0.1 + 0.1 is 0.30000000000000004
    for _ in range(3):
        budget.settle(await budget.reserve(Spend(1, 0.1)), Spend(1, 0.1))
    with pytest.raises(BudgetExceeded):
        await budget.reserve(Spend(1, 0.0001))


async def test_an_unknown_price_cannot_keep_a_money_limit():
    desk = Desk(deployment=UNPRICED, money=1.0)
    with pytest.raises(BudgetExceeded, match=r"price of 'small' \(m\) is unknown: set input_price and output_price"):
        await desk.ask()
    assert desk.asked == 0


async def test_an_unknown_price_is_no_matter_where_only_tokens_are_limited():
    desk = Desk(ModelResponse("yes", usage=usage(10)), deployment=UNPRICED, max_tokens=10_000)
    await desk.ask()
    assert (desk.budget.spent_tokens, desk.budget.spent_cost) == (10, 0.0)


async def test_what_is_free_runs_on_no_money_at_all():
    desk = Desk(ModelResponse("yes", usage=usage(10), cost=0.0), deployment=Deployment("s", "scripted", "s"), money=0.0)
    assert (await desk.ask()).text == "yes"


async def test_calls_side_by_side_wait_for_what_the_others_hold_and_all_get_through():
    """Each holds its worst case, two do not fit at once; what they really take fits ten times over."""
    budget = Budget(max_tokens=WORST.tokens + 90)
    middleware = Budgeting(budget, lambda _: PRICED)
    at_once = most = 0

    async def handler(request):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return ModelResponse("yes", usage=usage(10), cost=0.0)

    await asyncio.gather(*(middleware(REQUEST, handler) for _ in range(10)))
    assert most == 1
    assert budget.spent_tokens == 100


async def test_who_waits_is_refused_when_the_others_spend_what_it_needs():
    budget = Budget(max_tokens=WORST.tokens + 5)
    first = await budget.reserve(WORST)
    waiting = asyncio.create_task(budget.reserve(WORST))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.settle(first, Spend(6))
    with pytest.raises(BudgetExceeded):
        await waiting


async def test_a_waiter_that_is_cancelled_holds_nothing():
    budget = Budget(max_tokens=WORST.tokens)
    first = await budget.reserve(WORST)
    waiting = asyncio.create_task(budget.reserve(WORST))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    budget.settle(first, Spend())
    assert await budget.reserve(WORST) == first + 1


@pytest.mark.parametrize("limits", [{"max_tokens": -1}, {"money": -0.1}, {"money": float("nan")}])
def test_a_limit_below_nothing_is_refused(limits):
    with pytest.raises(ValueError, match="write 0 or more, or None for no limit"):
        Budget(**limits)


# --- the worst case ---


@given(st.text(st.characters()), st.integers(1, 5000))
def test_the_worst_case_covers_every_byte_and_the_whole_reply(text, limit):
    request = replace(REQUEST, messages=({"role": "user", "content": text},) * 2, max_tokens=limit)
    body = json.dumps(chat_completions.body(request, PRICED), ensure_ascii=False).encode("utf-8", "surrogatepass")
    worst = worst_case(request, PRICED)
    assert worst.tokens == len(body) + 2 * 16 + limit
    assert worst.cost == pytest.approx((len(body) + 2 * 16 + 4 * limit) / 1e6)


@pytest.mark.parametrize(
    ("parameters", "replies"),
    [
        ({"max_tokens": 900}, 900),
        ({"max_completion_tokens": 900}, 900),
        ({"max_tokens": 1}, 100),
        ({"n": 3}, 300),
        ({"n": None, "max_completion_tokens": None}, 100),
    ],
)
def test_parameters_that_ask_for_more_are_counted(parameters, replies):
    request = replace(REQUEST, parameters=parameters)
    prompt = len(json.dumps(chat_completions.body(request, PRICED))) + 16
    assert worst_case(request, PRICED).tokens == prompt + replies


def test_tools_that_are_spelled_out_as_actions_are_counted_as_they_are_sent():
    request = replace(REQUEST, tools=(ToolSpec("find", "Find it.", {"type": "object", "properties": {}}),))
    spelled = worst_case(request, replace(PRICED, tools="json"))
    assert spelled.tokens > len(json.dumps(chat_completions.body(request, PRICED))) + 100 + 16
    assert worst_case(request, PRICED).tokens > worst_case(REQUEST, PRICED).tokens + 256


def test_an_image_is_reserved_as_the_largest_that_is_billed_however_few_bytes_it_has():
    def holding(*parts):
        return replace(REQUEST, messages=({"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]},))

    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    none, one, two = (worst_case(holding(*[picture] * n), PRICED).tokens for n in (0, 1, 2))
    assert 3_000 < one - none < 3_000 + 200  # a few words stand for it in the text
    assert two - one == one - none


def test_cached_input_that_is_dearer_than_fresh_is_the_worst_case():
    dear = replace(PRICED, cached_price=2.0)
    assert worst_case(REQUEST, dear).cost > WORST.cost
