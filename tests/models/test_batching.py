"""Requests that go out as a batch, over HTTP to a server that speaks /files and /batches, with openai's client."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchmagic import Reply, Script, serve
from orchmagic.core.process import Process, this
from orchmagic.errors import (
    BatchLapsed,
    ConnectionLost,
    EmptyReply,
    ModelUnfit,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    StoreError,
    TruncatedReply,
)
from orchmagic.models.batching import BatchState
from orchmagic.models.batching.desk import BatchDesk, BatchPolicy
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.storage.sent_batches import BatchStore
from orchmagic.trace.events import BatchSent


def request(text: str = "hi", **fields: Any) -> ModelRequest:
    return ModelRequest(
        **{"call": f"ask/{text}", "model": "a", "messages": ({"role": "user", "content": text},), **fields}
    )


class Kernel:
    """One kernel: a desk with its store and the endpoint; `kernel.ask(...)` asks all at once."""

    def __init__(self, url: str, store: BatchStore, **policy: Any) -> None:
        self.said: list[str] = []
        self.events: list[Any] = []
        self.is_sent = asyncio.Event()
        self.deployment = Deployment("a", "openai", "m", url, batch=True, input_price=10.0, output_price=20.0)
        self.provider = OpenAIProvider(key="sk-0123456789abcdefghij")
        self.endpoint: Any = None
        self.store = store
        self.desk = BatchDesk(
            lambda: store, lambda: BatchPolicy(**{"quiet": 0.02, "poll": 0.02, **policy}), self.said.append
        )

    async def one(self, asked: ModelRequest) -> Any:
        endpoint = self.endpoint or self.provider.batches(self.deployment)
        return await self.desk.answer(asked, self.deployment, endpoint, self.emit)

    def emit(self, event: Any) -> None:
        self.events.append(event)
        self.is_sent.set()

    async def asked(self, *requests: ModelRequest) -> list[Any]:
        """The answers, or errors."""
        try:
            return await asyncio.gather(*map(self.one, requests), return_exceptions=True)
        finally:
            await self.desk.close()
            await self.provider.close()

    async def stopped(self, *requests: ModelRequest) -> None:
        """Asks, and stops as soon as the batch is sent."""
        tasks = [asyncio.ensure_future(self.one(r)) for r in requests]
        await self.is_sent.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.desk.close()
        await self.provider.close()

    def ask(self, *requests: ModelRequest) -> list[Any]:
        return asyncio.run(self.asked(*requests))


class World:
    def __init__(self, server: Any, path: Any) -> None:
        self.server = server
        self.batches = server.batches
        self.path = path

    def kernel(self, **policy: Any) -> Kernel:
        return Kernel(self.server.base_url, BatchStore(self.path), **policy)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches.received]


def echo(body: Any) -> Any:
    text = body["messages"][-1]["content"]
    fault = re.match(r"fault (\w+)", text)
    return Reply(fault=fault[1]) if fault else f"answer to {text}"  # type: ignore[arg-type]  # a name of the table


@pytest.fixture
def world(tmp_path: Any) -> Iterator[World]:
    with serve(Script(echo)) as server:
        yield World(server, tmp_path / "batches.sqlite")


def test_what_is_asked_side_by_side_goes_out_as_one_file_and_each_gets_its_own_answer(world: World) -> None:
    kernel = world.kernel()
    texts = [f"row {n}\u2028" for n in range(20)]
    answers = kernel.ask(*(request(t, stream=True) for t in texts))
    assert [a.text for a in answers] == [f"answer to {t}" for t in texts]
    assert world.sizes == [20]
    assert all("stream" not in body for body in world.batches.received[0].values())
    assert {(e.batch, e.requests) for e in kernel.events if isinstance(e, BatchSent)} == {("batch_1", 20)}
    assert kernel.said == []


def test_an_answer_costs_half(world: World) -> None:
    (answer,) = world.kernel().ask(request())
    usage = answer.usage
    assert answer.cost == pytest.approx((usage.input * 10 + usage.output * 20) / 2e6)


@pytest.mark.parametrize(
    ("policy", "sizes"),
    [({"most_requests": 2}, [1, 2, 2]), ({"most_bytes": 350}, [1, 2, 2]), ({"most_bytes": 1}, [1] * 5)],
)
def test_a_file_stays_within_the_limits_of_the_endpoint(world: World, policy: dict[str, Any], sizes: list[int]) -> None:
    answers = world.kernel(**policy).ask(*(request(f"row {n}") for n in range(5)))
    assert [a.text for a in answers] == [f"answer to row {n}" for n in range(5)]
    assert sorted(world.sizes) == sizes


def test_requests_of_two_models_are_two_batches(world: World) -> None:
    kernel = world.kernel()

    async def both() -> list[Any]:
        other = replace(kernel.deployment, model="other")
        asks = (kernel.one(request()), kernel.desk.answer(request(), other, kernel.provider.batches(other), print))
        answers = await asyncio.gather(*asks)
        await kernel.desk.close()
        await kernel.provider.close()
        return answers

    assert [a.model for a in asyncio.run(both())] == ["m", "other"]
    assert world.sizes == [1, 1]


@pytest.mark.parametrize(
    ("fault", "error", "transient"),
    [
        ("400", RequestRejected, False),
        ("401", RequestRejected, False),
        ("404", ModelUnfit, False),
        ("429", RateLimited, True),
        ("500", ServerFailed, True),
        ("503", ServerFailed, True),
        ("quota", QuotaExhausted, False),
        ("context_length", ModelUnfit, False),
        ("refusal", RefusedReply, False),
        ("empty", EmptyReply, False),
        ("truncated", TruncatedReply, False),
    ],
)
def test_a_failed_request_fails_alone_as_the_same_call_would(
    world: World, fault: str, error: type[Exception], transient: bool
) -> None:
    good, bad = world.kernel().ask(request("good"), request(f"fault {fault}"))
    assert good.text == "answer to good"
    assert type(bad) is error
    assert bad.transient is transient
    assert "\n" not in str(bad)


@pytest.mark.parametrize(
    ("end", "error", "transient", "falls_back", "says"),
    [
        ("expired", BatchLapsed, True, True, "expired"),
        ("cancelled", BatchLapsed, False, False, "cancelled"),
    ],
)
def test_what_a_batch_did_not_process_says_why_and_the_rest_is_used(
    world: World, end: Any, error: type[Exception], transient: bool, falls_back: bool, says: str
) -> None:
    world.batches.ends = [end]
    answers = world.kernel().ask(*(request(f"row {n}") for n in range(4)))
    assert [a.text for a in answers[:2]] == ["answer to row 0", "answer to row 1"]
    for failed in answers[2:]:
        assert type(failed) is error
        assert (failed.transient, failed.falls_back, failed.may_have_spent) == (transient, falls_back, False)
        assert says in str(failed)


def test_a_batch_that_is_refused_as_a_whole_fails_all_its_requests_with_the_reason(world: World) -> None:
    world.batches.ends = ["failed"]
    answers = world.kernel().ask(request("a"), request("b"))
    assert {type(a) for a in answers} == {RequestRejected}
    assert all("batch_1" in str(a) and "a line is no JSON" in str(a) for a in answers)
    assert world.server.requests == []


def test_results_of_unknown_requests_and_second_ones_are_left_out_and_said(world: World) -> None:
    response = {"status_code": 200, "body": {"choices": [{"message": {"content": "strange"}, "finish_reason": "stop"}]}}
    world.batches.extra = [{"custom_id": "nobody", "response": response}, {"custom_id": "nobody", "response": response}]
    kernel = world.kernel()
    (answer,) = kernel.ask(request())
    assert answer.text == "answer to hi"
    assert len(kernel.said) == 1
    assert "2 results of requests that are not in it" in kernel.said[0]


def test_a_request_without_a_result_fails_and_may_have_been_billed(world: World) -> None:
    world.batches.lost = "^1-"
    missing, other = world.kernel().ask(request("a"), request("b"))
    assert type(missing) is ServerFailed
    assert missing.may_have_spent
    assert other.text == "answer to b"


def test_an_endpoint_without_a_batch_api_says_so_before_anything_is_sent(world: World) -> None:
    world.batches.enabled = False
    (error,) = world.kernel().ask(request())
    assert type(error) is RequestRejected
    assert "has no Batch API (404 for /files): nothing was sent" in str(error)
    assert world.server.requests == []
    assert world.kernel().store.all() == []


@pytest.mark.parametrize("cache", ["use", "off", "refresh"])
def test_a_later_kernel_collects_the_batch_instead_of_sending_it_again(world: World, cache: Any) -> None:
    world.batches.looks = 10**6
    first = world.kernel()
    asyncio.run(first.stopped(*(request(f"row {n}", cache=cache) for n in range(3))))
    assert len(first.said) == 1
    assert "batch batch_1 at 127.0.0.1" in first.said[0]
    assert "%orch batches cancel batch_1" in first.said[0]
    world.batches.end_all()
    second = world.kernel()
    answers = second.ask(request("row 2", cache=cache), request("new", cache=cache), request("row 0", cache=cache))
    assert [a.text for a in answers] == ["answer to row 2", "answer to new", "answer to row 0"]
    assert world.sizes == [3, 1]
    (left,) = world.kernel().store.all()
    assert (left.id, left.left) == ("batch_1", 1)
    assert world.kernel().ask(request("row 2", cache=cache))[0].text == "answer to row 2"
    assert world.sizes == [3, 1, 1], "an answer is collected once"


def test_another_kernel_that_is_alive_shares_its_batch_only_with_who_takes_stored_answers(world: World) -> None:
    store = world.kernel().store
    asyncio.run(world.kernel().stopped(request()))
    store._database.write("UPDATE batches SET pid = ?, life = 'other'", os.getppid())
    assert not store.all()[0].sender.gone
    world.kernel().ask(request(cache="off"))
    assert world.sizes == [1, 1]
    world.kernel().ask(request(cache="use"))
    assert world.sizes == [1, 1]


def test_equal_requests_that_want_answers_of_their_own_get_lines_of_their_own(world: World) -> None:
    answers = world.kernel().ask(*(request(cache="off") for _ in range(3)))
    assert [a.text for a in answers] == ["answer to hi"] * 3
    assert world.sizes == [3]
    assert len(world.server.requests) == 3


def test_a_batch_that_the_endpoint_has_lost_is_said_and_sent_again(world: World) -> None:
    asyncio.run(world.kernel().stopped(request()))
    world.batches.forget()
    kernel = world.kernel()
    assert kernel.ask(request())[0].text == "answer to hi"
    assert "is not there any more" in kernel.said[0]
    assert world.sizes == [1, 1]


def test_what_was_cancelled_earlier_is_sent_again_when_it_is_asked_again(world: World) -> None:
    world.batches.looks = 10**6
    asyncio.run(world.kernel().stopped(*(request(f"row {n}") for n in range(4))))
    world.batches.looks = 0
    assert world.batches.answer("POST", "/v1/batches/batch_1/cancel", b"", "") is not None
    answers = world.kernel().ask(*(request(f"row {n}") for n in range(4)))
    assert [a.text for a in answers] == [f"answer to row {n}" for n in range(4)]
    assert world.sizes == [4, 2], "the first half was answered before"


class Broken:
    """An endpoint whose connection breaks at some calls: (method, whether the call had arrived)."""

    def __init__(self, whole: Any, *broken: tuple[str, bool]) -> None:
        self.whole = whole
        self.broken = list(broken)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*values: Any) -> Any:
            arrives = next((a for n, a in self.broken if n == name), None)
            if arrives is not None:
                self.broken.remove((name, arrives))
            found = await getattr(self.whole, name)(*values) if arrives is not False else None
            if arrives is not None:
                raise ConnectionLost("the connection broke")
            return found

        return call


@pytest.mark.parametrize(
    ("broken", "sizes", "fails"),
    [
        ([("send", True)], [1], False),
        ([("send", False)], [1], True),
        ([("send", True), ("find", False)], [1], True),
        ([("state", False)], [1], False),
        ([("read", False), ("state", False)], [1], False),
    ],
)
def test_a_broken_connection_loses_no_batch_and_sends_none_twice(
    world: World, broken: list[tuple[str, bool]], sizes: list[int], fails: bool
) -> None:
    kernel = world.kernel()

    async def go() -> Any:
        kernel.endpoint = Broken(kernel.provider.batches(kernel.deployment), *broken)
        answers = [(await asyncio.gather(kernel.one(request()), return_exceptions=True))[0]]
        if fails:
            answers += await asyncio.gather(kernel.one(request()), return_exceptions=True)
        await kernel.desk.close()
        await kernel.provider.close()
        return answers

    answers = asyncio.run(go())
    assert isinstance(answers[0], ConnectionLost) is fails
    assert answers[-1].text == "answer to hi"
    assert world.sizes == sizes


def test_nothing_is_sent_that_cannot_be_entered(world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = world.kernel()

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(kernel.store, "begin", full)
    (error,) = kernel.ask(request())
    assert type(error) is StoreError
    assert world.sizes == []


def test_what_is_stopped_before_it_is_sent_is_not_sent(world: World) -> None:
    kernel = world.kernel(quiet=0.05)

    async def go() -> None:
        task = asyncio.ensure_future(kernel.one(request()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*kernel.desk._tasks)
        await asyncio.gather(*kernel.desk._tasks)  # the first began the second
        await kernel.desk.close()
        await kernel.provider.close()

    asyncio.run(go())
    assert world.sizes == []
    assert kernel.said == []


def test_the_store_keeps_no_text_and_no_key(world: World) -> None:
    asyncio.run(world.kernel().stopped(request("my secret question")))
    data = b"".join(path.read_bytes() for path in world.path.parent.glob("batches.sqlite*"))
    assert b"secret question" not in data
    assert b"sk-0123456789" not in data


def test_the_looks_at_a_batch_become_rarer() -> None:
    waits: list[float] = []
    states = iter([BatchState("b", "in_progress")] * 6 + [BatchState("b", "completed")])

    class Endpoint:
        async def send(self, lines: Any, tag: str) -> str:
            return "b"

        async def state(self, id_: str) -> BatchState:
            return next(states)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async def go() -> None:
        store = BatchStore(None)
        desk = BatchDesk(lambda: store, lambda: BatchPolicy(quiet=0.0, poll=60.0), print, sleep)
        with pytest.raises(ServerFailed):
            await desk.answer(request(), Deployment("a", "openai", "m", "http://127.0.0.1:1/v1"), Endpoint(), print)  # type: ignore[arg-type]  # all that is called
        await desk.close()

    asyncio.run(go())
    assert waits == pytest.approx([6.0, 9.0, 13.5, 20.25, 30.375, 45.5625, 60.0])


def test_a_batch_of_this_kernel_has_this_process_as_its_sender(world: World) -> None:
    asyncio.run(world.kernel().stopped(request()))
    (batch,) = world.kernel().store.all()
    assert batch.sender == this()
    assert batch.sender != Process(1, "elsewhere", "")
