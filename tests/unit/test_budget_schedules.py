"""Two hundred random schedules of faults, retries, fallbacks and cancels: none passes the limit."""

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.errors import (
    BudgetExceeded,
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from orchmagic.events import Usage
from orchmagic.models import Deployment, ModelRequest, ModelResponse, prices, wire
from orchmagic.models.middleware.budget import Budget, Budgeting
from orchmagic.models.middleware.fallback import Fallback
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.pipeline import stack

FAULTS = {
    "429": RateLimited,
    "500": ServerFailed,
    "timeout": CallTimeout,
    "lost": ConnectionLost,
    "400": RequestRejected,
    "empty": EmptyReply,
}
UNSEEN = {"timeout", "lost"}  # the endpoint bills, and we never hear how much
UNBILLED = {"429", "500", "400"}

attempts = st.tuples(
    st.sampled_from(["fine", "fine", "fine", *FAULTS]),
    st.floats(0, 1),  # of the bytes, how many are tokens
    st.floats(0, 1),  # of the reply's limit, how much is used
    st.integers(0, 3),  # how many turns of the loop it takes
)
calls = st.tuples(
    st.integers(0, 4),  # which turn it starts
    st.text(max_size=60),
    st.integers(1, 400),
    st.none() | st.integers(0, 8),  # which turn it is cancelled
)


class Endpoint:
    """Spends when a request arrives, as a real one does, and says so or not."""

    def __init__(self, plan, limits):
        self.plan = list(plan)
        self.tokens = 0
        self.cost = 0.0
        self.limits = limits
        self.passed = False

    async def __call__(self, request):
        fault, read, written, turns = self.plan.pop() if self.plan else ("fine", 1.0, 1.0, 1)
        size = len(json.dumps(wire.body(request, deployment(request.model)), ensure_ascii=False).encode())
        spent = Usage(input=int(size * read), output=int(request.max_tokens * written))
        cost = prices.cost(deployment(request.model), spent)
        if fault not in UNBILLED:
            self.tokens += spent.total
            self.cost += cost
            self.passed |= self.tokens > self.limits["max_tokens"] or self.cost > self.limits["money"] + 1e-9
        for _ in range(turns):
            await asyncio.sleep(0)
        if fault == "empty":
            raise EmptyReply("empty", usage=spent, cost=cost)
        if fault != "fine":
            raise FAULTS[fault](fault)
        return ModelResponse("yes", usage=spent, cost=cost)


def deployment(name):
    return Deployment(name, "openai", name, input_price=1.0 if name == "small" else 10.0, output_price=30.0)


async def no_wait(_):
    await asyncio.sleep(0)


async def play(endpoint, budget, planned):
    handler = stack(
        endpoint,
        Fallback(lambda _: None),
        Retry(2, deployment, lambda _: None, sleep=no_wait),
        Budgeting(budget, deployment),
    )

    async def one(number, start, text, limit, cancelled):
        for _ in range(start):
            await asyncio.sleep(0)
        message = {"role": "user", "content": text}
        request = ModelRequest(f"a#1.{number}", "small", (message,), max_tokens=limit, fallback=("large",))
        task = asyncio.create_task(handler(request))
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
    planned=st.lists(calls, min_size=1, max_size=8),
    max_tokens=st.integers(0, 4000),
    money=st.floats(0, 0.1),
)
def test_no_schedule_of_faults_retries_fallbacks_and_cancels_passes_the_limit(plan, planned, max_tokens, money):
    limits = {"max_tokens": max_tokens, "money": money}
    endpoint, budget = Endpoint(plan, limits), Budget(**limits)
    errors = asyncio.run(play(endpoint, budget, planned))
    assert not endpoint.passed
    assert budget.held == {}
    assert endpoint.tokens <= budget.spent_tokens <= max_tokens
    assert endpoint.cost <= budget.spent_cost + 1e-9
    assert all(e is None or isinstance(e, (BudgetExceeded, *FAULTS.values())) for e in errors)
