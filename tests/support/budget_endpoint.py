"""An endpoint that spends by a drawn schedule of faults, and what a schedule is made of, for the tests of limits."""

import asyncio
import json

from hypothesis import strategies as st

from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, ModelResponse
from orchmagic.models.wire import chat_completions
from orchmagic.trace.events import Usage

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
        size = len(json.dumps(chat_completions.body(request, deployment(request.model)), ensure_ascii=False).encode())
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
