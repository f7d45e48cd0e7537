"""Two hundred random schedules of faults, retries, fallbacks and cancels: none passes the limit."""

import asyncio

from budget_endpoint import FAULTS, Endpoint, attempts, calls, deployment, no_wait
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.errors import BudgetExceeded
from orchmagic.models.budget import Budget
from orchmagic.models.middleware.budgeting import Budgeting
from orchmagic.models.middleware.fallback import Fallback
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.pipeline import stack
from orchmagic.models.types import ModelRequest


async def play(endpoint, budget, planned):
    handler = stack(
        endpoint,
        Fallback(lambda _: None),
        Retry(2, deployment, lambda _: None, sleep=no_wait),
        Budgeting(budget, lambda r: deployment(r.model)),
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
    assert budget.reserved == {}
    assert endpoint.tokens <= budget.spent_tokens <= max_tokens
    assert endpoint.cost <= budget.spent_cost + 1e-9
    assert all(e is None or isinstance(e, (BudgetExceeded, *FAULTS.values())) for e in errors)
