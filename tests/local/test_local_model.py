"""The real 0.5B model in its real engine: what the `local` provider promises on any machine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchmagic.errors import ConnectionLost, RequestRejected, WeightsError
from orchmagic.models import PROVIDERS
from orchmagic.models.local_engine import engine, weights
from orchmagic.models.providers.local import LocalProvider, endpoint
from orchmagic.models.types import Deployment, ModelRequest, Schema
from orchmagic.trace.events import Event, TextStreamed

pytestmark = [pytest.mark.local_model, pytest.mark.usefixtures("local_weights")]

STEADY = {"temperature": 0, "seed": 1, "cache_prompt": False}
LOCAL = Deployment("local", "local", weights.DEFAULT, tools="json", logprobs=True, parameters=STEADY)
LABEL = {"type": "object", "properties": {"label": {"enum": ["refund", "bug"]}}, "required": ["label"]}


def ask(text: str, **given: Any) -> ModelRequest:
    return ModelRequest("c", "local", ({"role": "user", "content": text},), **{"max_tokens": 40, **given})


def ignore(_event: Event) -> None:
    pass


@pytest.fixture(scope="module", autouse=True)
def one_engine() -> Iterator[None]:
    """Loaded by the first test that asks, for all of them."""
    yield
    engine.stop()


@pytest.fixture
async def local() -> AsyncIterator[LocalProvider]:
    """A provider whose closing leaves the engine to the next test."""
    provider = LocalProvider(notify=lambda _line: None)
    yield provider
    await provider._client.close()


async def test_answers_a_line_the_same_way_twice_and_counts_what_it_took(local: LocalProvider) -> None:
    request = ask("Say hello in one short sentence.")
    first = await local.complete(request, LOCAL, ignore)
    again = await local.complete(request, LOCAL, ignore)
    assert "hello" in first.text.lower()
    assert first.text == again.text
    assert (first.provider, first.model, first.cost) == ("local", weights.DEFAULT, 0.0)
    assert first.usage.input > 5
    assert first.usage.output > 1


async def test_a_schema_is_kept_token_by_token(local: LocalProvider) -> None:
    request = ask("Ticket: I want my money back. Label it as JSON.", schema=Schema("label", LABEL))
    answer = await local.complete(request, LOCAL, ignore)
    assert json.loads(answer.text) == {"label": "refund"}


async def test_gives_log_probabilities_of_what_it_wrote(local: LocalProvider) -> None:
    answer = await local.complete(ask("The capital of France is", logprobs=True, max_tokens=20), LOCAL, ignore)
    assert answer.logprobs
    assert all(token.logprob <= 0 for token in answer.logprobs)
    assert "".join(token.token for token in answer.logprobs).strip() in answer.text.strip()


async def test_streams_the_answer_that_it_returns(local: LocalProvider) -> None:
    pieces: list[str] = []

    def take(event: Event) -> None:
        assert isinstance(event, TextStreamed)
        pieces.append(event.text)

    answer = await local.complete(ask("Count from one to five.", stream=True, max_tokens=60), LOCAL, take)
    assert len(pieces) > 3
    assert "".join(pieces) == answer.text
    assert answer.usage.output > 3


async def test_cancelled_answers_free_every_slot_at_once(local: LocalProvider) -> None:
    begun = [asyncio.Event() for _ in range(engine.SLOTS)]
    long = ask("Write the longest story you can about the sea.", stream=True, max_tokens=1500, timeout=None)
    answers = [asyncio.create_task(local.complete(long, LOCAL, lambda _e, mine=mine: mine.set())) for mine in begun]
    for event in begun:
        await event.wait()
    for answer in answers:
        answer.cancel()
    await asyncio.gather(*answers, return_exceptions=True)
    async with asyncio.timeout(10):  # the four stories would take more than a minute
        assert (await local.complete(ask("Say hello."), LOCAL, ignore)).text


async def test_a_question_longer_than_the_context_is_one_clear_error(local: LocalProvider) -> None:
    with pytest.raises(RequestRejected, match="context"):
        await local.complete(ask("word " * (engine.CONTEXT + 100)), LOCAL, ignore)


async def test_closing_ends_a_question_under_way_and_the_next_one_starts_the_model_again() -> None:
    said: list[str] = []
    provider = LocalProvider(notify=said.append)
    begun = asyncio.Event()
    long = ask("Write the longest story you can.", stream=True, max_tokens=1500, timeout=None)
    answer = asyncio.create_task(provider.complete(long, LOCAL, lambda _event: begun.set()))
    await begun.wait()
    async with asyncio.timeout(2):
        await provider.close()
        with pytest.raises((ConnectionLost, asyncio.CancelledError)):
            await answer
    assert engine.running(weights.DEFAULT) is None
    assert (await provider.complete(ask("Say hello."), LOCAL, ignore)).text
    assert said[-1] == f"Loading the local model {weights.DEFAULT} (a few seconds) ..."
    await provider.close()
    await provider.close()


async def test_a_crash_of_the_engine_costs_one_question_and_not_the_kernel(local: LocalProvider) -> None:
    await local.complete(ask("Say hello."), LOCAL, ignore)
    broken = engine._engines[weights.DEFAULT].process
    broken.kill()
    broken.wait()
    assert (await local.complete(ask("Say hello."), LOCAL, ignore)).text


async def test_a_file_that_is_no_model_is_refused(local: LocalProvider, tmp_path: Path) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF but not really")
    with pytest.raises(WeightsError, match="Is it a GGUF model"):
        await local.complete(ask("Hello"), replace(LOCAL, model=str(fake)), ignore)


def test_the_registry_finds_it() -> None:
    assert isinstance(PROVIDERS.get("local").create(), LocalProvider)


CLIENT = """
from openai import OpenAI
print(OpenAI().chat.completions.create(model="any", max_tokens=5, messages=[{"role": "user", "content": "Hi"}]).usage)
"""


def test_a_program_of_its_own_reaches_the_running_model_through_the_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env=os.environ | endpoint().env(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "completion_tokens" in done.stdout


LIVES = """
import os, sys, urllib.request
from orchmagic.models.local_engine import engine, weights
from orchmagic.models.providers.local import endpoint
def models():
    found = endpoint()
    asked = urllib.request.Request(found.base_url + "/models", headers={"Authorization": "Bearer " + found.api_key})
    return urllib.request.urlopen(asked).status
print(models(), engine._engines[weights.DEFAULT].process.pid, flush=True)
if sys.argv[1] == "fork":
    child = os.fork()
    if child == 0:
        print("child", models(), flush=True)
        sys.exit(0)
    os.waitpid(child, 0)
    print("parent", models(), flush=True)
else:
    sys.stdin.read()
"""


def kernel(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LIVES, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_forked_process_asks_the_same_model_and_leaves_it_running() -> None:
    out, _ = kernel("fork").communicate(timeout=60)
    first, *rest = out.splitlines()
    assert first.startswith("200 ")
    assert rest == ["child 200", "parent 200"]
    assert not psutil.pid_exists(int(first.split()[1]))


def test_the_model_does_not_outlive_a_killed_kernel() -> None:
    with kernel("wait") as parent:
        assert parent.stdout is not None
        model = psutil.Process(int(parent.stdout.readline().split()[1]))
        parent.kill()
    model.wait(timeout=5)
