"""The whole model call, over the scripted provider and a real cache: what happens, in which order, once."""

import asyncio
from dataclasses import replace

import pytest
from model_table import ModelTable

from orchmagic import Script
from orchmagic.errors import BudgetExceeded, EmptyReply, RateLimited, RequestRejected, TruncatedReply
from orchmagic.models.budget import Budget
from orchmagic.models.cache.stores.disk import DiskCache
from orchmagic.models.cache.stores.memory import MemoryCache
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.pipeline import PipelineParts, World, build, stack
from orchmagic.models.providers import scripted
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, ToolSpec
from orchmagic.storage.journal import NoJournal
from orchmagic.trace.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptStarted,
    CacheHit,
    CallFailed,
    CallFinished,
    CallStarted,
    FellBack,
    Usage,
)

REQUEST = ModelRequest(call="a#1.1", model="small", messages=({"role": "user", "content": "hi"},), fallback=("large",))
FIND = ToolSpec("find", "Find it.", {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]})


class Bench:
    """A session in small: two scripted models, one cache, and a new run for each `run()`."""

    def __init__(self, cache, small=(), large=()):
        self.cache = cache
        self.flights = SingleFlight()
        self.scripts = {
            "small": scripted.install(Script(small), "small"),
            "large": scripted.install(Script(large), "large"),
        }
        self.changes = {"input_price": 1.0, "output_price": 2.0}
        self.said = []
        self.waits = []
        self.resolved = []

    def resolve(self, name):
        self.resolved.append(name)
        return Deployment(name, "scripted", name, **self.changes)

    async def sleep(self, seconds):
        self.waits.append(seconds)

    def run(self, **parts):
        self.said.clear()
        self.budget = Budget(parts.pop("max_tokens", None), parts.pop("money", None))
        provider = parts.pop("provider", {"scripted": scripted.ScriptedProvider()}.__getitem__)
        made = PipelineParts(
            emit=self.said.append,
            models=ModelTable(self.resolve, provider),
            cache=self.cache,
            flights=self.flights,
            journal=NoJournal(),
            budget=self.budget,
            retry=2,
            world=World(sleep=self.sleep, chance=lambda: 1.0),
        )
        return build(replace(made, **parts))

    async def ask(self, request=REQUEST, **parts):
        return await self.run(**parts)(request)

    def names(self):
        return [type(event) for event in self.said]

    def asked(self, name="small"):
        return len(self.scripts[name].requests)


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(small=(), large=()):
        cache = DiskCache(tmp_path / "answers")
        made.append(cache)
        return Bench(cache, small, large)

    yield make
    for cache in made:
        cache.close()
    for name in ("small", "large"):
        scripted.remove(name)


async def test_the_first_middleware_is_the_outermost():
    told = []

    def layer(name):
        async def middleware(request, handler):
            told.append(f"{name} in")
            answer = await handler(request)
            told.append(f"{name} out")
            return answer

        return middleware

    async def handler(request):
        told.append("asked")
        return ModelResponse("yes")

    await stack(handler, layer("a"), layer("b"))(REQUEST)
    assert told == ["a in", "b in", "asked", "b out", "a out"]
    assert stack(handler) is handler


async def test_a_plain_call_is_four_events_and_has_its_price(bench):
    b = bench(["hello"])
    answer = await b.ask()
    assert answer.text == "hello"
    assert answer.cost == pytest.approx((answer.usage.input + 2 * answer.usage.output) / 1e6)
    assert b.names() == [CallStarted, AttemptStarted, AttemptFinished, CallFinished]
    assert (b.budget.spent_tokens, b.budget.spent_cost) == (answer.usage.total, answer.cost)


async def test_the_second_run_asks_nobody_and_spends_nothing(bench):
    b = bench(["hello"])
    first = await b.ask()
    second = await b.ask(max_tokens=0, money=0.0)
    assert b.names() == [CallStarted, CacheHit, CallFinished]
    assert (second.text, second.usage) == (first.text, first.usage)
    assert b.asked() == 1
    assert b.budget.spent_tokens == 0


async def test_an_edited_prompt_is_asked_and_an_unchanged_one_is_not(bench):
    b = bench(["one", "two"])
    edited = replace(REQUEST, messages=({"role": "user", "content": "hi!"},))
    await b.ask()
    assert (await b.ask(edited)).text == "two"
    assert (await b.ask(replace(REQUEST, call="renamed#1.1"))).text == "one"
    assert b.asked() == 2


async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(bench):
    b = bench([Reply(fault="429", retry_after=7), "hello"])
    assert (await b.ask()).text == "hello"
    assert b.waits == [7]
    assert b.names()[1:-1] == [AttemptStarted, AttemptFailed, AttemptStarted, AttemptFinished]


async def test_after_the_retries_the_fallback_answers(bench):
    b = bench(lambda _: Reply(fault="500"), ["from large"])
    assert (await b.ask()).text == "from large"
    assert (b.asked("small"), b.asked("large")) == (3, 1)
    (fell,) = [e for e in b.said if isinstance(e, FellBack)]
    assert (fell.source, fell.target) == ("small", "large")
    assert fell.error == "500 from scripted: the server had an error (3 attempts)"


async def test_the_fallbacks_answer_is_not_served_once_the_primary_is_back(bench):
    """Why caching is inside fallback."""
    b = bench([Reply(fault="refusal"), "from small"], ["from large"])
    assert (await b.ask()).text == "from large"
    assert (await b.ask()).text == "from small"


async def test_a_long_wait_is_left_to_the_fallback(bench):
    b = bench([Reply(fault="429", retry_after=300)], ["from large"])
    assert (await b.ask()).text == "from large"
    assert b.waits == []


class TwentySeconds:
    def left(self):
        return 20.0


async def test_a_wait_beyond_the_deadline_is_left_to_the_fallback(bench):
    b = bench([Reply(fault="429", retry_after=30)], ["from large"])
    assert (await b.ask(deadline=TwentySeconds())).text == "from large"
    assert b.waits == []


async def test_a_wrong_key_is_one_attempt_and_no_tour_of_all_models(bench):
    b = bench([Reply(fault="401")], ["from large"])
    with pytest.raises(RequestRejected):
        await b.ask()
    assert (b.asked("small"), b.asked("large")) == (1, 0)
    assert b.names() == [CallStarted, AttemptStarted, AttemptFailed, CallFailed]


async def test_a_failure_is_not_stored(bench):
    b = bench([Reply(fault="empty"), "hello"])
    alone = replace(REQUEST, fallback=())
    with pytest.raises(EmptyReply):
        await b.ask(alone)
    assert (await b.ask(alone)).text == "hello"


async def test_an_unusable_reply_is_billed_in_trace_and_budget(bench):
    b = bench([Reply("cut", fault="truncated", usage=Usage(input=10, output=20))])
    with pytest.raises(TruncatedReply):
        await b.ask(replace(REQUEST, fallback=()))
    (failed,) = [e for e in b.said if isinstance(e, AttemptFailed)]
    assert (failed.usage.total, failed.cost) == (30, pytest.approx(50e-6))
    assert (b.budget.spent_tokens, b.budget.spent_cost) == (30, pytest.approx(50e-6))


async def test_a_spent_budget_stops_the_call_and_asks_no_fallback(bench):
    b = bench(["hello"], ["from large"])
    with pytest.raises(BudgetExceeded):
        await b.ask(max_tokens=100)
    assert (b.asked("small"), b.asked("large")) == (0, 0)
    assert b.names() == [CallStarted, AttemptStarted, AttemptFailed, CallFailed]


async def test_the_budget_counts_every_retry(bench):
    b = bench(lambda _: Reply(fault="reset"))  # each may have been billed in full
    with pytest.raises(BudgetExceeded):
        await b.ask(max_tokens=2500)
    assert b.asked() == 2


async def test_the_same_question_at_once_is_asked_once_and_counted_once(bench):
    b = bench(["hello", "never"])
    run = b.run()
    answers = await asyncio.gather(*(run(replace(REQUEST, call=f"a#1.{n}")) for n in range(4)))
    assert {a.text for a in answers} == {"hello"}
    assert b.asked() == 1
    assert b.budget.spent_tokens == answers[0].usage.total
    assert [e.shared for e in b.said if isinstance(e, CacheHit)] == [True] * 3
    assert b.cache.stats()["entries"] == 1


async def test_two_runs_share_a_question_and_only_one_pays(bench):
    b = bench(["hello", "never"])
    first = b.run()
    paid = b.budget
    second = b.run()
    await asyncio.gather(first(REQUEST), second(REQUEST))
    assert b.asked() == 1
    assert (paid.spent_tokens > 0, b.budget.spent_tokens) == (True, 0)


async def test_each_vote_is_a_question_of_its_own(bench):
    b = bench(["a", "b", "c"])
    run = b.run()
    answers = await asyncio.gather(*(run(replace(REQUEST, vote=n)) for n in range(3)))
    assert {a.text for a in answers} == {"a", "b", "c"}


async def test_a_cancelled_call_is_told_and_booked_as_the_worst_case(bench):
    b = bench([Reply("late", latency=60)])
    begun = asyncio.Event()

    def emit(event):
        b.said.append(event)
        if isinstance(event, AttemptStarted):
            begun.set()

    task = asyncio.create_task(b.ask(emit=emit))
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.said[-1] == CallFailed(call="a#1.1", error="cancelled", error_kind="cancelled")
    assert b.budget.spent_tokens > REQUEST.max_tokens


async def test_a_model_that_only_writes_json_uses_tools_all_the_same(bench):
    b = bench([{"action": "find", "arguments": {"id": "A1"}}, {"action": "final_answer", "answer": "done"}])
    b.changes["tools"] = "json"
    request = replace(REQUEST, tools=(FIND,))
    answer = await b.ask(request)
    (call,) = answer.tool_calls
    assert (call.name, call.arguments) == ("find", '{"id": "A1"}')
    assert "tools" not in b.scripts["small"].requests[0]
    assert (await b.ask(request)).tool_calls == answer.tool_calls  # from the cache, as it was
    assert (await b.ask(replace(request, max_tokens=900))).text == "done"


async def test_an_empty_final_action_is_billed_and_reaches_the_fallback(bench):
    b = bench([{"action": "final_answer", "answer": " "}], [{"action": "final_answer", "answer": "done"}])
    b.changes["tools"] = "json"
    assert (await b.ask(replace(REQUEST, tools=(FIND,)))).text == "done"
    (failed,) = [e for e in b.said if isinstance(e, AttemptFailed)]
    assert failed.cost > 0


async def test_a_provider_that_prices_its_own_answers_is_believed(bench):
    class Own:
        async def complete(self, request, deployment, emit):
            return ModelResponse("yes", usage=Usage(input=1), cost=0.125)

        async def close(self):
            pass

    answer = await bench().ask(provider=lambda _: Own())
    assert answer.cost == 0.125


async def test_an_unusable_reply_without_a_price_gets_one(bench):
    class Own:
        async def complete(self, request, deployment, emit):
            raise EmptyReply("empty", usage=Usage(input=1_000_000))

        async def close(self):
            pass

    with pytest.raises(EmptyReply) as caught:
        await bench().ask(replace(REQUEST, fallback=()), provider=lambda _: Own())
    assert caught.value.cost == 1.0


async def test_a_run_keeps_its_endpoints(bench):
    b = bench(["one", "two"])
    run = b.run()
    await run(REQUEST)
    await run(replace(REQUEST, vote=1))
    assert b.resolved == ["small"]


async def test_all_failed_names_all(bench):
    b = bench(lambda _: Reply(fault="429"), lambda _: Reply(fault="429"))
    with pytest.raises(RateLimited, match=r"none of 2 models answered: 429 from small after 3 .*; 429 from large"):
        await b.ask()


async def test_without_a_cache_and_with_one_in_memory_it_works_too(bench):
    b = bench(["one", "two", "three"])
    b.cache = None
    assert [(await b.ask()).text for _ in range(2)] == ["one", "two"]
    b.cache = MemoryCache()
    assert [(await b.ask()).text for _ in range(2)] == ["three", "three"]
