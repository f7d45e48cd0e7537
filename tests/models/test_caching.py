"""The same request is answered from the store, anything else is asked; trouble with the store is never a failure."""

import warnings
from dataclasses import replace

import pytest

from orchmagic.errors import EmptyReply, ServerFailed
from orchmagic.models.cache import CacheWarning
from orchmagic.models.cache.key import key
from orchmagic.models.cache.stores.memory import MemoryCache
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, Schema, TokenLogprob, ToolCall, ToolSpec
from orchmagic.trace.events import CacheHit, Usage

HERE = Deployment("small", "openai", "m", base_url="https://a.example/v1")
REQUEST = ModelRequest(
    call="a#1.1",
    model="small",
    messages=({"role": "user", "content": "hi"},),
    parameters={"temperature": 0},
    schema=Schema("Answer", {"type": "object", "properties": {"why": {}, "score": {}}}),
    tools=(ToolSpec("find", "Find it.", {"type": "object"}),),
    vote=1,
)
ANSWER = ModelResponse(
    "yes \ud800",  # models write anything, half a surrogate pair too
    tool_calls=(ToolCall("1", "find", "{}"),),
    usage=Usage(input=3, output=1, cached=2),
    cost=0.5,
    model="m-2026",
    provider="openai",
    logprobs=(TokenLogprob("yes", -0.1),),
)


class Bench:
    """A cache, a clock and a model that counts how often it is asked."""

    def __init__(self, cache=None):
        self.now = 1000.0
        self.cache = cache or MemoryCache(clock=lambda: self.now)
        self.said = []
        self.asked = 0
        self.outcome = ANSWER
        self.caching = Caching(self.cache, lambda name: replace(HERE, alias=name), self.said.append, lambda: self.now)

    async def handler(self, request):
        self.asked += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def ask(self, **change):
        return await self.caching(replace(REQUEST, **change), self.handler)


async def test_the_second_answer_is_the_first_one_with_its_age():
    bench = Bench()
    assert await bench.ask() == ANSWER
    bench.now += 7
    assert await bench.ask(call="b#1.1") == replace(ANSWER, age=7.0)
    assert bench.asked == 1
    assert bench.said == [CacheHit(call="b#1.1", age=7.0, usage=ANSWER.usage, cost=0.5)]


async def test_off_neither_reads_nor_stores():
    bench = Bench()
    await bench.ask(cache="off")
    await bench.ask()
    await bench.ask(cache="off")
    assert bench.asked == 3


async def test_refresh_asks_and_stores():
    bench = Bench()
    await bench.ask()
    bench.outcome = replace(ANSWER, text="newer")
    await bench.ask(cache="refresh")
    assert (await bench.ask()).text == "newer"
    assert bench.asked == 2


async def test_without_a_cache_every_question_is_asked():
    bench = Bench()
    bench.caching = Caching(None, lambda _: HERE, bench.said.append)
    await bench.ask()
    await bench.ask()
    assert bench.asked == 2


@pytest.mark.parametrize(("stored_for", "asked_for"), [(10.0, None), (10.0, 60.0), (None, 10.0), (60.0, 10.0)])
async def test_the_shorter_time_to_live_counts(stored_for, asked_for):
    bench = Bench()
    await bench.ask(ttl=stored_for)
    bench.now += 9
    await bench.ask(ttl=asked_for)
    assert bench.asked == 1
    bench.now += 1
    await bench.ask(ttl=asked_for)
    assert bench.asked == 2


async def test_a_clock_that_was_set_back_makes_no_negative_age():
    bench = Bench()
    await bench.ask()
    bench.now -= 500
    assert (await bench.ask()).age == 0.0


@pytest.mark.parametrize("error", [ServerFailed("500"), EmptyReply("nothing")])
async def test_errors_are_never_stored(error):
    bench = Bench()
    bench.outcome = error
    with pytest.raises(type(error)):
        await bench.ask()
    assert bench.cache.stats()["entries"] == 0


async def test_a_shared_answer_is_stored_by_the_one_who_asked():
    bench = Bench()
    bench.outcome = replace(ANSWER, age=0.0)
    await bench.ask()
    assert bench.cache.stats()["entries"] == 0


GOOD = {
    "text": "t",
    "tool_calls": [],
    "finish_reason": "stop",
    "usage": {"input": 1, "output": 1, "cached": 0, "reasoning": 0},
    "cost": 0.1,
    "model": "m",
    "provider": "p",
    "logprobs": None,
    "age": None,
}
DAMAGED = [
    {},
    {"stored": "yesterday", "answer": GOOD},
    {"stored": 1.0},
    {"stored": 1.0, "answer": None},
    {"stored": 1.0, "answer": "text"},
    {"stored": 1.0, "answer": {**GOOD, "text": 5}},
    {"stored": 1.0, "answer": {**GOOD, "cost": "free"}},
    {"stored": 1.0, "answer": {**GOOD, "usage": {"input": "3"}}},
    {"stored": 1.0, "answer": {**GOOD, "usage": [1]}},
    {"stored": 1.0, "answer": {**GOOD, "tool_calls": [{"id": "1"}]}},
    {"stored": 1.0, "answer": {**GOOD, "tool_calls": [{"id": "1", "name": 2, "arguments": ""}]}},
    {"stored": 1.0, "answer": {**GOOD, "logprobs": 3}},
    {"stored": 1.0, "answer": {**GOOD, "surprise": 1}},
]


@pytest.mark.parametrize("entry", DAMAGED)
async def test_a_damaged_entry_is_a_warning_and_a_miss(entry):
    bench = Bench()
    name = key(REQUEST, HERE)
    bench.cache.set(name, entry)
    with pytest.warns(CacheWarning, match="cannot be read, so the model is called again"):
        assert await bench.ask() == ANSWER
    assert (await bench.ask()).age is not None  # the new answer took its place


@pytest.mark.parametrize("older", [{}, {"reason": "first choice"}])
async def test_an_entry_of_an_intact_store_is_no_warning(older):
    bench = Bench()
    bench.cache.set(key(REQUEST, HERE), {"stored": 1.0, "answer": GOOD | older})
    assert (await bench.ask()).text == "t"


class Broken:
    """A foreign cache that keeps no promise."""

    def get(self, key):
        raise RuntimeError("gone")

    def set(self, key, value, ttl=None):
        raise RuntimeError("gone")


async def test_a_cache_that_raises_warns_once_and_is_passed_over():
    bench = Bench(Broken())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            assert await bench.ask() == ANSWER
    assert bench.asked == 3
    assert len(seen) == 2  # one for reading, one for writing
