"""Tools that write: a marked function runs once per idempotency key, across retry, resume, replay and new runs.

    @orchmagic.tool(writes=True)                                                  key: all arguments
    @orchmagic.tool(writes=True, key=lambda order_id, **_: order_id)              key: the lambda's value

The ledger records a write before the function runs, and its result after. A second call with the same key returns
the recorded result. A function that raised may run again, so raise only if nothing was written. If the process
died in between, the outcome is unknown and the next call raises WriteUnknown. Outside a run, the function is called
directly.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints, overload

from orchmagic.core.text_format import shorten
from orchmagic.errors import InputError, StoreError, WriteRefused, WriteUnknown
from orchmagic.runtime.caller import carried

if TYPE_CHECKING:
    from orchmagic.storage.writes import Ledger, Write

F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=Exception)
Key = Callable[..., object]

_TICK = 0.02  # seconds between polls of a write that another caller began
_SHOWN = 120  # characters of a call in a message
_MARK = "__orchmagic_tool__"


@dataclass(frozen=True, slots=True)
class WriteScope:
    """The run and the ledger under which its tools write.

    `on_write` gets each write and its new state (begun, done, failed, unknown or served), from any thread. Served:
    the recorded result of an earlier write by `write.run` was returned. `refused` says why nothing may be written;
    "": it may.
    """

    ledger: Ledger
    run: str
    on_write: Callable[[Write, str], None] = lambda _, __: None
    process: int = field(default_factory=os.getpid)
    refused: str = ""

    @contextmanager
    def during(self) -> Iterator[None]:
        """Makes this the scope of all writes inside, also in threads and tasks that start there."""
        token = _RUN.set(self)
        try:
            yield
        finally:
            _RUN.reset(token)


@dataclass(slots=True)
class WriteWatch:
    """What became of the writes of one step: errors that must end the run, and calls that are under way."""

    errors: list[Exception] = field(default_factory=list)
    under_way: dict[str, str] = field(default_factory=dict)  # id of the write -> the call as text


@contextmanager
def unknown_writes_raised() -> Iterator[WriteWatch]:
    """Raises a write's error that must end the run, also if code in between caught it or raised another one.

    Raises:
        WriteUnknown, StoreError: the first such error inside. An interrupt or a cancellation passes unchanged.
    """
    watch, outer = WriteWatch(), _WATCH.get()
    token = _WATCH.set(watch)
    try:
        yield watch
    except Exception as error:
        if watch.errors and error is not watch.errors[0]:
            raise watch.errors[0] from error
        raise
    finally:
        _WATCH.reset(token)
        if outer is not None:
            outer.errors.extend(watch.errors)
    if watch.errors:
        raise watch.errors[0]


_WATCH: ContextVar[WriteWatch | None] = carried(ContextVar("orchmagic_write_watch", default=None))
_RUN: ContextVar[WriteScope | None] = carried(ContextVar("orchmagic_write_scope", default=None))
_WRITING: ContextVar[frozenset[tuple[str, str]]] = carried(ContextVar("orchmagic_writing", default=frozenset()))


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(*, writes: bool = False, key: Key | None = None) -> Callable[[F], F]: ...


def tool(function: F | None = None, /, *, writes: bool = False, key: Key | None = None) -> F | Callable[[F], F]:
    """Marks a notebook function as a tool; `writes=True`: it has side effects, so it runs once per key.

    `key` takes the arguments by name and returns the idempotency key (JSON), for example an order number.

    Raises:
        TypeError: the decorated object is no function, or `key` is given without `writes`.
    """
    if key is not None and not writes:
        raise TypeError("key= says what must not be written twice: write tool(writes=True, key=…)")

    def mark(marked: F) -> F:
        if not inspect.isfunction(marked):
            raise TypeError(f"tool marks a function, not {marked!r}: write it directly above a `def`")
        made = _once(marked, key) if writes else marked
        setattr(made, _MARK, "writes" if writes else "reads")
        return cast("F", made)  # the wrapper has the signature F

    return mark if function is None else mark(function)


def writes(function: object) -> bool:
    """Whether the function is marked `writes=True`."""
    return getattr(function, _MARK, None) == "writes"


def _once(function: Callable[..., Any], key: Key | None) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            write = WriteCall.of(function, key, args, kwargs)
            if write is None:
                return await function(*args, **kwargs)
            while not await write.claimed_in_thread():  # noqa: ASYNC110 - the other caller may be in another process
                await asyncio.sleep(_TICK)
            if not write.served:
                with write.under_way():
                    write.result = await function(*args, **kwargs)
            return write.result

        return run_async

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        write = WriteCall.of(function, key, args, kwargs)
        if write is None:
            return function(*args, **kwargs)
        while not write.claimed():
            write.must_not_block()
            time.sleep(_TICK)
        if not write.served:
            with write.under_way():
                write.result = function(*args, **kwargs)
        return write.result

    return run


class WriteCall:
    """One call of a writing function inside a run. `served`: `result` is the recorded result of an earlier call."""

    def __init__(self, scope: WriteScope, function: Callable[..., Any], key: str, call: str) -> None:
        self.scope = scope
        self.function = function
        self.key = key
        self.call = call
        self.served = False
        self.result: Any = None

    @classmethod
    def of(
        cls, function: Callable[..., Any], key: Key | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> WriteCall | None:
        """Creates the call; None outside a run, and for a recursive call, which is part of the same write."""
        scope = _RUN.get()
        if scope is None:
            return None
        if scope.refused:
            raise _noticed(WriteRefused(f"{function.__name__} was called and not run: {scope.refused}"))
        arguments = _named(function, args, kwargs)
        subject = arguments if key is None else key(**arguments)
        text = subject if isinstance(subject, str) else _canonical(function.__name__, subject)
        shown = [repr(subject)] if key else [f"{name}={value!r}" for name, value in arguments.items()]
        call = shorten(f"{function.__name__}({', '.join(shown)})", _SHOWN)
        return None if (function.__name__, text) in _WRITING.get() else cls(scope, function, text, call)

    def claimed(self) -> bool:
        """Claims the key: True if the function may run or the result was `served`, False while another caller runs it.

        Raises:
            WriteUnknown: the write began before and its outcome is unknown.
            StoreError: a forked process calls it, which cannot record it for the run.
        """
        if self.scope.process != os.getpid():
            raise _noticed(
                StoreError(f"{self.call} was called in a forked process, where it is not recorded: call it in the run")
            )
        try:
            write = self.write = self.scope.ledger.claim(self.function.__name__, self.key, self.call, self.scope.run)
        except StoreError as error:
            _noticed(error)
            raise
        if write.mine:
            self.scope.on_write(write, "begun")
            return True
        if write.state == "unknown":
            raise _noticed(_unknown(write))
        if write.state == "begun":
            return False
        self.served, self.result = True, _typed(self.function, write.result)
        self.scope.on_write(write, "served")
        return True

    async def claimed_in_thread(self) -> bool:
        """Like `claimed`, in a thread: the loop must not wait for the disk. Cancelled: nothing was written."""
        claim = asyncio.ensure_future(asyncio.to_thread(self.claimed))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            claim.add_done_callback(self._given_up)
            raise

    def _given_up(self, claim: asyncio.Future[bool]) -> None:
        if not claim.cancelled() and claim.exception() is None and self.write.mine:
            self.scope.ledger.failed(self.write.id)
            self.scope.on_write(self.write, "failed")

    def must_not_block(self) -> None:
        """Raises WriteUnknown on an event loop: blocking it would keep the other caller from finishing."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        advice = f"call it in a thread, or make {self.function.__name__} async"
        raise _noticed(WriteUnknown(f"{self.call} is under way: {advice}"))

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Records the outcome of the function: done, failed or unknown."""
        ledger, on_write = self.scope.ledger, self.scope.on_write
        token = _WRITING.set(_WRITING.get() | {(self.function.__name__, self.key)})
        watch = _WATCH.get() or WriteWatch()
        watch.under_way[self.write.id] = self.call
        try:
            yield
        except Exception:
            ledger.failed(self.write.id)
            on_write(self.write, "failed")
            raise
        except BaseException:  # cancelled or interrupted: the outcome is unknown
            ledger.cut_off(self.write.id)
            on_write(self.write, "unknown")
            _noticed(_unknown(self.write))
            raise
        else:
            ledger.done(self.write.id, _plain(self.result))
            on_write(self.write, "done")
        finally:
            watch.under_way.pop(self.write.id, None)
            _WRITING.reset(token)


def _noticed(error: E) -> E:
    """Tells the step's watch of an error that must end the run."""
    if (watch := _WATCH.get()) is not None:
        watch.errors.append(error)
    return error


def _unknown(write: Write) -> WriteUnknown:
    return WriteUnknown(
        f"{write.call} was begun by run {write.run} and its end is unknown: check whether it was done. If so, write "
        f"%orch writes settle {write.id} RESULT (what {write.tool} would have returned); if not, write "
        f"%orch writes forget {write.id} to let it run again. Then resume the run"
    )


def _named(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by name, with defaults."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    rest = next((p.name for p in bound.signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    named = dict(bound.arguments)
    return {**named, **named.pop(rest)} if rest else named


def _canonical(name: str, value: object) -> str:
    """JSON with sorted keys, so that equal arguments give the same idempotency key.

    Raises:
        InputError: the arguments are not JSON serialisable.
    """
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

    try:
        return json.dumps(to_jsonable_python(value), sort_keys=True, separators=(",", ":"))
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        raise InputError(
            f"the arguments of {name} are no JSON, so nobody can tell when they are the same: write "
            "@tool(writes=True, key=lambda …: …)"
        ) from None


def _plain(result: object) -> Any:
    """The result as JSON, else as text: a write that is done must not fail because of its result type."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy

    try:
        return json.loads(json.dumps(to_jsonable_python(result)))
    except Exception:  # noqa: BLE001 - a foreign object's own serialiser may raise anything
        return str(result)


def _typed(function: Callable[..., Any], result: Any) -> Any:
    """Converts a recorded result to the function's return type; unchanged if it does not validate."""
    try:
        return _validated(function, result)
    except Exception:  # noqa: BLE001 - an unresolvable type hint, or a mismatch: return it unchanged
        return result


def check_result(function: object, result: Any) -> None:
    """Checks the result that a person gives for a write (JSON) against the return type of its function, if it is one.

    Raises:
        InputError: it does not fit; the message says what the function returns.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    if not inspect.isfunction(function):
        return
    try:
        _validated(function, result)
    except ValidationError:
        returns = inspect.formatannotation(get_type_hints(function)["return"])
        given = shorten(repr(result), _SHOWN)
        raise InputError(f"{given} is no result of {function.__name__}: it returns {returns}") from None
    except Exception:  # noqa: BLE001 - an unresolvable type hint: the result is taken as it is
        return


def _validated(function: Callable[..., Any], result: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - heavy

    hints = get_type_hints(function, include_extras=True)
    return TypeAdapter(hints["return"]).validate_python(result) if "return" in hints else result
