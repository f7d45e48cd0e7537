"""Five deployments on loopback, four of them in trouble: each question is answered once (see benchmarks/chaos.py)."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from model_table import ModelTable

from orchmagic.core.settings import load
from orchmagic.models.budget import Budget
from orchmagic.models.cache.stores.memory import MemoryCache
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.pipeline import PipelineParts, World, build
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.routing import aliases, reachability
from orchmagic.models.routing.health import opened
from orchmagic.models.routing.status import HEADER, missing, rows
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import ModelRequest
from orchmagic.storage.journal import NoJournal
from orchmagic.trace.events import CacheHit, CallFinished, DeploymentChosen, FellBack

pytestmark = pytest.mark.slow

CALLS, AT_ONCE = 120, 16


class Servers:
    """slow, flaky (30 % 5xx), limited (ten answers, then 429 for a minute) and healthy ones; nothing listens at dead."""

    def __init__(self, stack):
        self.answers, self.asked = Counter(), Counter()
        self._lock, self._chance = threading.Lock(), random.Random(5)
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # taken, but nobody listens
        self.urls = {"dead": f"http://127.0.0.1:{closed.getsockname()[1]}/v1"}
        for kind in ("slow", "flaky", "limited", "healthy"):
            self.urls[kind] = stack.enter_context(serve(self._reply(kind))).base_url

    def _reply(self, kind):
        def reply(body):
            with self._lock:
                self.asked[kind] += 1
                if kind == "flaky" and self._chance.random() < 0.3:
                    return Reply(fault="500")
                if kind == "limited" and self.asked[kind] > 10:
                    return Reply(fault="429", retry_after=60)
                self.answers[body["messages"][-1]["content"]] += 1
            return Reply(f"from {kind}", latency=0.1 if kind == "slow" else 0.0)

        return reply


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield Servers(stack)


class Asking:
    def __init__(self, servers, policy, cache=None):
        members = [{"name": k, "base_url": u, "model": "m"} for k, u in servers.urls.items()]
        self.settings = load({"models": {"p": {"policy": policy, "deployments": members}}}, {}, Path("/"))
        self.said, self.health, self.provider = [], opened(None), OpenAIProvider(environ={})
        models = ModelTable(
            lambda name: aliases.resolve(name, self.settings, {}),
            lambda _: self.provider,
            lambda name: aliases.pool(name, self.settings, {}),
        )
        parts = PipelineParts(
            emit=self.said.append,
            models=models,
            health=self.health,
            cache=cache,
            flights=SingleFlight(),
            budget=Budget(),
            journal=NoJournal(),
            retry=2,
            world=World(chance=random.Random(1).random),
        )
        self.handler = build(parts)

    async def ask(self, number, visit=1):
        said = ({"role": "user", "content": f"question {number}"},)
        return await self.handler(ModelRequest(f"ask#{visit}/{number}.1", "p", said, timeout=20.0))


@pytest.mark.parametrize("policy", ["order", "weighted", "uptime", "price"])
async def test_every_question_is_answered_and_none_twice(servers, policy):
    asking, gate = Asking(servers, policy), asyncio.Semaphore(AT_ONCE)

    async def one(number):
        async with gate:
            return await asking.ask(number)

    answers = await asyncio.gather(*(one(i) for i in range(CALLS)))
    await asking.provider.close()
    assert len(answers) == CALLS
    assert servers.answers == Counter(f"question {i}" for i in range(CALLS))
    # the dead one and the one that sends us away were left alone, not asked each time
    assert servers.asked["limited"] <= 10 + AT_ONCE
    assert sum(e.deployment == "p@dead" for e in asking.said if isinstance(e, DeploymentChosen)) <= 3 + AT_ONCE
    answered = {e.call for e in asking.said if isinstance(e, CallFinished)}
    assert answered == {e.call for e in asking.said if isinstance(e, DeploymentChosen)}
    assert any(isinstance(e, FellBack) for e in asking.said)


@pytest.mark.parametrize("policy", ["weighted", "uptime"])
async def test_the_same_questions_again_are_served_from_the_cache_whoever_answered(servers, policy):
    asking = Asking(servers, policy, MemoryCache())
    first = [await asking.ask(i) for i in range(12)]
    asked = sum(servers.asked.values())
    again = [await asking.ask(i, visit=2) for i in range(12)]
    await asking.provider.close()
    assert [a.text for a in again] == [a.text for a in first]
    assert sum(servers.asked.values()) == asked
    assert sum(isinstance(e, CacheHit) for e in asking.said) == 12


async def test_the_same_question_at_once_is_asked_once_though_deployments_differ(servers):
    asking = Asking(servers, "weighted")
    answers = await asyncio.gather(*(asking.ask(0, visit) for visit in range(8)))
    await asking.provider.close()
    assert len({a.text for a in answers}) == 1
    assert servers.answers == {"question 0": 1}


async def test_what_is_reachable_is_shown_with_its_latency_and_no_key(servers):
    asking = Asking(servers, "order")
    await asking.ask(0)
    await asking.provider.close()
    environ = {"OPENAI_API_KEY": "sk-secret-000000"}
    header, *found = await rows(asking.settings, environ, asking.health)
    assert header == HEADER
    by_name = {row[0]: dict(zip(HEADER, row, strict=True)) for row in found}
    assert by_name["p@healthy"]["reached"].endswith(" ms")
    assert by_name["p@dead"]["reached"].startswith("not reached: ")
    assert by_name["p@slow"]["seen"].endswith("100% of calls")
    assert by_name["p@healthy"]["seen"] == "-"
    assert (by_name["p@healthy"]["$/M in"], by_name["scripted"]["reached"]) == ("?", "here")
    assert "sk-secret" not in str(found)


async def test_a_server_that_does_not_answer_costs_only_its_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        found = await reachability.check(
            aliases.resolve("m", load({}, {}, Path("/")), {"OPENAI_BASE_URL": url}), {}, timeout=0.05
        )
    assert (found.reachable, found.note) == (False, "no answer in 0.05 s")


def test_what_is_missing_says_what_to_write():
    models = {"p": ["groq/m", "ollama/m"], "bad": ["azure/m"]}
    found = list(missing(load({"models": models}, {}, Path("/")), {}))
    assert [m.alias for m in found] == ["p@groq", "bad"]
    assert (
        found[0].write == "needs GROQ_API_KEY: set it, in the environment or as a line GROQ_API_KEY=… in .env (no git)"
    )
    assert "AZURE_OPENAI_ENDPOINT" in found[1].write
