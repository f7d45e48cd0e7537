"""Gathers the requests of all runs of a kernel into batches, waits for them, and hands out the answers.

A batch is entered in the store before it is sent. So it outlives its run and its kernel: the same request, by its hash,
takes its answer from there and is not sent again.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from orchmagic.core import process
from orchmagic.core.text_format import counted
from orchmagic.errors import ModelError, OrchError
from orchmagic.models.batching import BatchEndpoint, BatchState
from orchmagic.models.batching.reading import lapsed, no_answer, outcome, refused
from orchmagic.models.budget import mark_left
from orchmagic.models.cache.key import key
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse
from orchmagic.models.wire import batch_lines, chat_completions
from orchmagic.models.wire.batch_lines import BatchResult
from orchmagic.models.wire.urls import KEY_ENV, host
from orchmagic.storage.sent_batches import BatchStore, SentBatch
from orchmagic.trace.events import BatchSent

_LONGEST = 30  # times the quiet time, after which a batch is sent although requests still come in
_GROWTH = 1.5  # of the wait between two looks
_FIRST = 10  # part of the longest wait that the first one is
_SETTLE = 2.0  # seconds until a used answer is in the journal: only then its line is deleted
_KEEP = 60.0  # seconds that results wait in memory for requests of the same batch that come later


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """`quiet`: seconds without a new request, after which a batch is sent. `poll`: most seconds between two looks."""

    quiet: float = 2.0
    poll: float = 60.0
    most_requests: int = batch_lines.MOST_REQUESTS
    most_bytes: int = batch_lines.MOST_BYTES


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that waits for its result; `line` is its place in a batch (tag, custom_id), None while none has it."""

    request: ModelRequest
    deployment: Deployment
    emit: Emit
    hash: str
    body: dict[str, Any]
    result: asyncio.Future[BatchResult]
    line: tuple[str, str] | None = None

    def tell(self, batch: SentBatch) -> None:
        self.emit(
            BatchSent(call=self.request.call, batch=batch.id, requests=batch.requests, sent=_clock_time(batch.sent))
        )

    def fail(self, error: OrchError) -> None:
        if not self.result.done():
            self.result.set_exception(_copied(error))


@dataclass(slots=True)
class _Gathering:
    """Requests for the same model that will go out as one batch."""

    endpoint: BatchEndpoint
    last: float
    asked: list[tuple[_Asked, bytes]] = field(default_factory=list)
    size: int = 0
    is_closed: bool = False


@dataclass(slots=True)
class _UnderWay:
    """A batch that this kernel waits for, with those who wait by custom_id; `results` are there after its end.

    `is_earlier`: it was sent before anybody waited here, and may have ended before, too.
    """

    batch: SentBatch
    endpoint: BatchEndpoint
    deployment: Deployment
    waiting: dict[str, _Asked] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    is_earlier: bool = False
    end: BatchState | None = None
    results: dict[str, BatchResult] = field(default_factory=dict)


class BatchDesk:
    """One for a session, on its event loop. `store` is opened at first use; `notify` gets one line for the user."""

    def __init__(
        self,
        store: Callable[[], BatchStore],
        policy: Callable[[], BatchPolicy] = BatchPolicy,
        notify: Callable[[str], None] = print,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._policy = policy
        self._notify = notify
        self._sleep = sleep
        self._gathering: dict[tuple[str, ...], _Gathering] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._claimed: set[tuple[str, str]] = set()
        self._used: list[tuple[str, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(
        self, request: ModelRequest, deployment: Deployment, endpoint: BatchEndpoint, emit: Emit
    ) -> ModelResponse:
        """Wait for the answer to a request: from a batch that holds it already, else from the next one.

        Cancelling it leaves the batch with the endpoint.

        Raises:
            ModelError: the request failed, the batch failed or expired, or the endpoint has no Batch API.
            StoreError: the batch cannot be entered, so it was not sent.
        """
        body = chat_completions.body(replace(request, stream=False), deployment)
        loop = asyncio.get_running_loop()
        asked = _Asked(request, deployment, emit, key(request, deployment), body, loop.create_future())
        if not self._join(asked, endpoint):
            self._gather(asked, endpoint)
        try:
            result = await asked.result
        except asyncio.CancelledError as stopped:
            mark_left(stopped, sent=asked.line is not None)
            self._leave(asked)
            raise
        try:
            return outcome(result, request, body, deployment)
        finally:
            self._use(asked)

    def _join(self, asked: _Asked, endpoint: BatchEndpoint) -> bool:
        """Take the line of an earlier batch with this request, if there is one that nobody waits for."""
        for line in self._store().holding(asked.hash):
            sender = line.batch.sender
            is_elsewhere = sender != process.this() and not sender.gone
            if (line.batch.tag, line.custom_id) in self._claimed or (is_elsewhere and asked.request.cache != "use"):
                continue
            under = self._under_way.get(line.batch.tag)
            if under is None:
                under = _UnderWay(line.batch, endpoint, asked.deployment, is_earlier=True)
                self._watch(under, first=0.0)
            self._add(under, line.custom_id, asked)
            return True
        return False

    def _add(self, under: _UnderWay, custom_id: str, asked: _Asked) -> None:
        asked.line = (under.batch.tag, custom_id)
        self._claimed.add(asked.line)
        under.waiting[custom_id] = asked
        if under.batch.id:
            asked.tell(under.batch)
        if under.end is not None:
            self._hand_out(under)

    def _gather(self, asked: _Asked, endpoint: BatchEndpoint) -> None:
        deployment, policy = asked.deployment, self._policy()
        place = (deployment.base_url or "", deployment.key_env or "", deployment.model)
        now = asyncio.get_running_loop().time()
        group = self._gathering.get(place)
        number = 1 if group is None else len(group.asked) + 1
        line = batch_lines.line(f"{number}-{asked.hash[:16]}", asked.body)
        is_full = group is not None and (number > policy.most_requests or group.size + len(line) > policy.most_bytes)
        if group is None or is_full:
            if group is not None:
                self._close(place, group)
            group = self._gathering[place] = _Gathering(endpoint, now)
            line = batch_lines.line(f"1-{asked.hash[:16]}", asked.body)
            self._spawn(self._when_quiet(place, group))
        group.asked.append((asked, line))
        group.size += len(line)
        group.last = now

    async def _when_quiet(self, place: tuple[str, ...], group: _Gathering) -> None:
        quiet, now = self._policy().quiet, asyncio.get_running_loop().time
        latest = now() + _LONGEST * quiet
        while not group.is_closed and (wait := min(group.last + quiet, latest) - now()) > 0:
            await self._sleep(wait)
        self._close(place, group)

    def _close(self, place: tuple[str, ...], group: _Gathering) -> None:
        """Send what was gathered; safe to call twice."""
        if group.is_closed:
            return
        group.is_closed = True
        if self._gathering.get(place) is group:
            del self._gathering[place]
        self._spawn(self._send(group))

    async def _send(self, group: _Gathering) -> None:
        lines = [
            (f"{number}-{asked.hash[:16]}", asked, line)
            for number, (asked, line) in enumerate(group.asked, 1)
            if not asked.result.done()
        ]
        if not lines:
            return
        deployment = lines[0][1].deployment
        batch = _new_batch(deployment, len(lines))
        under = _UnderWay(batch, group.endpoint, deployment)
        self._under_way[batch.tag] = under
        for custom_id, asked, _ in lines:
            self._add(under, custom_id, asked)
        try:
            requests = {custom_id: asked.hash for custom_id, asked, _ in lines}
            await asyncio.to_thread(self._store().begin, batch, requests)
            if not under.waiting:  # all were stopped meanwhile
                self._under_way.pop(batch.tag, None)
                await asyncio.to_thread(self._store().forget, batch.tag)
                return
            under.batch = replace(batch, id=await self._sent(under, [line for *_, line in lines]))
        except OrchError as error:
            self._fail(under, error)
            return
        await asyncio.to_thread(self._store().arrived, batch.tag, under.batch.id)
        for asked in under.waiting.values():
            asked.tell(under.batch)
        if under.waiting:
            self._watch(under)
        else:
            self._abandon(under)

    async def _sent(self, under: _UnderWay, lines: Sequence[bytes]) -> str:
        """Send a batch; if it is unknown whether it arrived, look for it at the endpoint."""
        tag = under.batch.tag
        try:
            return await under.endpoint.send(lines, tag)
        except ModelError as error:
            # raises if it cannot be found out now: the entry stays, and the next attempt looks again
            found = await under.endpoint.find(tag) if error.may_have_spent else None
            if found is None:
                await asyncio.to_thread(self._store().forget, tag)
                raise
            return found.id

    def _watch(self, under: _UnderWay, first: float | None = None) -> None:
        self._under_way[under.batch.tag] = under
        under.task = self._spawn(self._wait_for(under, first))

    async def _wait_for(self, under: _UnderWay, first: float | None) -> None:
        """Wait for the end of a batch; `first`: seconds until the first look, by default a part of the longest wait."""
        try:
            if not under.batch.id and not await self._found(under):
                return
            end = await self._ended(under, first)
            results = await self._results(under, end)
        except ModelError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                what = f"{_named(under.batch)} is not there any more: its requests are sent again"
                await self._again(under, what)
            else:
                self._fail(under, error)
            return
        under.results, under.end = results, end
        self._hand_out(under)
        asyncio.get_running_loop().call_later(_KEEP, self._under_way.pop, under.batch.tag, None)

    async def _found(self, under: _UnderWay) -> bool:
        """Find a batch of which it is unknown whether it arrived; if it did not, its requests are sent again."""
        state = await under.endpoint.find(under.batch.tag)
        if state is None:
            await self._again(under)
            return False
        under.batch = replace(under.batch, id=state.id)
        await asyncio.to_thread(self._store().arrived, under.batch.tag, state.id)
        for asked in under.waiting.values():
            asked.tell(under.batch)
        return True

    async def _again(self, under: _UnderWay, why: str = "") -> None:
        """Forget a batch that the endpoint does not have, and gather its requests for the next one."""
        if why:
            self._notify(why)
        await asyncio.to_thread(self._store().forget, under.batch.tag)
        self._under_way.pop(under.batch.tag, None)
        for custom_id, asked in under.waiting.items():
            self._claimed.discard((under.batch.tag, custom_id))
            asked.line = None
            if not asked.result.done():
                self._gather(asked, under.endpoint)

    async def _ended(self, under: _UnderWay, first: float | None) -> BatchState:
        most = self._policy().poll
        wait = most / _FIRST if first is None else first
        while True:
            await self._sleep(wait)
            state: BatchState = await self._patiently(under, partial(under.endpoint.state, under.batch.id))
            if state.ended:
                return state
            under.is_earlier = False
            wait = min(most, max(wait, most / _FIRST) * _GROWTH)

    async def _patiently(self, under: _UnderWay, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Ask the endpoint of a batch until it answers: an outage ends no batch."""
        is_said = False
        while True:
            try:
                return await ask()
            except ModelError as error:
                if not error.transient:
                    raise
                if not is_said:
                    self._notify(f"{_named(under.batch)} cannot be looked at now, and will be again: {error}")
                is_said = True
                await self._sleep(max(self._policy().poll, error.retry_after or 0.0))

    async def _results(self, under: _UnderWay, end: BatchState) -> dict[str, BatchResult]:
        """The results by custom_id, in whatever order and file they stand; the first of each counts."""
        known = set(await asyncio.to_thread(self._store().custom_ids, under.batch.tag))
        found: dict[str, BatchResult] = {}
        strange = 0
        for file in filter(None, (end.output_file, end.error_file)):
            text = await self._patiently(under, partial(under.endpoint.read, file))
            for result in batch_lines.results(text):
                strange += result.custom_id in found
                if result.custom_id in known:
                    found.setdefault(result.custom_id, result)
                elif len(known) == under.batch.requests:  # nothing was collected before
                    strange += 1
        if strange:
            lines = counted(strange, "result")
            self._notify(f"{_named(under.batch)} has {lines} of requests that are not in it, or twice: not used")
        return found

    def _hand_out(self, under: _UnderWay) -> None:
        """Give those who wait their results; who has none gets the error that says why."""
        assert under.end is not None
        was_cancelled = under.is_earlier and under.end.status == "cancelled"
        for custom_id, asked in under.waiting.items():
            result = under.results.get(custom_id)
            if asked.result.done():
                continue
            if was_cancelled and (result is None or result.lapsed):  # before it was asked now
                self._use(asked)
                asked.line = None
                self._gather(asked, under.endpoint)
            elif result is None:
                asked.fail(_missing(under.end, under.batch, asked.deployment))
                self._use(asked)
            else:
                asked.result.set_result(result)
        under.waiting.clear()

    def _fail(self, under: _UnderWay, error: OrchError) -> None:
        """Fail those who wait. The batch stays in the store, if it is there: the next attempt looks at it again."""
        self._under_way.pop(under.batch.tag, None)
        for custom_id, asked in under.waiting.items():
            self._claimed.discard((under.batch.tag, custom_id))
            asked.line = None
            asked.fail(error)

    def _leave(self, asked: _Asked) -> None:
        """Take a request out that is not waited for any more; the last one of a batch leaves it with the endpoint."""
        if asked.line is None:
            return
        tag, custom_id = asked.line
        under = self._under_way.get(tag)
        if under is None or under.waiting.pop(custom_id, None) is None:
            return
        self._claimed.discard(asked.line)
        if not under.waiting and under.task is not None and under.end is None:
            under.task.cancel()
            self._abandon(under)

    def _abandon(self, under: _UnderWay) -> None:
        self._under_way.pop(under.batch.tag, None)
        batch = under.batch
        self._notify(
            f"{_named(batch)} goes on ({counted(batch.requests, 'request')}, sent {_clock_time(batch.sent)}): run the "
            f"cell again to collect its answers, or write %orch batches cancel {batch.id}"
        )

    def _use(self, asked: _Asked) -> None:
        """Delete the line of a request whose result was used, as soon as the answer is surely in the journal."""
        if asked.line is None:
            return
        if not self._used:
            asyncio.get_running_loop().call_later(_SETTLE, self._delete_used)
        self._used.append(asked.line)

    def _delete_used(self) -> None:
        used, self._used = self._used, []
        if used:
            self._store().collected(used)
            self._claimed.difference_update(used)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)
        return task

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail_all(OrchError(f"a batch cannot be handled: {type(error).__name__}: {error}"))

    def _fail_all(self, error: OrchError) -> None:
        """Fail everybody who waits: a defect must not let them wait for ever."""
        for under in tuple(self._under_way.values()):
            self._fail(under, error)
        for group in self._gathering.values():
            for asked, _ in group.asked:
                asked.fail(error)

    def forget(self) -> None:
        """Drop in a forked process what the parent waits for."""
        self._gathering.clear()
        self._under_way.clear()
        self._claimed.clear()
        self._used.clear()
        self._tasks.clear()

    async def close(self) -> None:
        """Stop waiting; the batches go on at their endpoints. Safe to call twice."""
        self._delete_used()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.forget()


def _new_batch(deployment: Deployment, requests: int) -> SentBatch:
    return SentBatch(
        tag=uuid.uuid4().hex,
        id="",
        alias=deployment.alias,
        provider=deployment.provider,
        model=deployment.model,
        base_url=deployment.base_url or "",
        key_env=deployment.key_env or KEY_ENV,
        requests=requests,
        sent=datetime.now(UTC).isoformat(timespec="seconds"),
        sender=process.this(),
    )


def _missing(end: BatchState, batch: SentBatch, deployment: Deployment) -> ModelError:
    """The error for a request without a result, by how its batch ended."""
    if end.status in {"expired", "cancelled"}:
        how = "was cancelled" if end.status == "cancelled" else "expired"
        return lapsed(f"{_named(batch)} {how}", end.status, deployment)
    if end.status == "failed":
        return refused(end.errors, _named(batch), deployment)
    return no_answer(_named(batch), deployment)


def _named(batch: SentBatch) -> str:
    return f"batch {batch.id or '(not sent yet)'} at {host(batch.base_url)}"


def _clock_time(sent: str) -> str:
    """`14:02` of the user's clock; with the day if it is not today."""
    at, now = datetime.fromisoformat(sent).astimezone(), datetime.now().astimezone()
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%d %b %H:%M}"


def _copied(error: OrchError) -> OrchError:
    """A copy, because outer layers change the text of an error."""
    return copy.copy(error)
