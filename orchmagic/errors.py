"""Defines all exceptions that orchmagic raises. Messages are for people, attributes for programs.

OrchError
├── CellError                 the cell is invalid: one line per problem, with caret and fix
├── SettingsError             an unknown alias, a missing API key, a missing extra
├── InputError                an input is missing or is not JSON serialisable
├── ModelError                a model call failed; `transient` (retry it?) and `falls_back` (try the next model?)
│   ├── RateLimited           429                              transient   falls back   .retry_after
│   ├── ServerFailed          5xx                              transient   falls back
│   ├── CallTimeout           no answer in time                transient   falls back   tokens may have been spent
│   ├── ConnectionLost        refused, reset, cut mid-stream   transient   falls back   tokens may have been spent
│   ├── BatchLapsed           a batch expired before it was due     transient   falls back (if cancelled: neither)
│   ├── QuotaExhausted        402, "insufficient quota"                    falls back
│   ├── NoDeployment          no deployment is suitable or available       falls back
│   ├── UnusableReply         or the endpoint cannot parse a tool call     falls back
│   │   ├── EmptyReply
│   │   ├── TruncatedReply    finish_reason "length"
│   │   └── RefusedReply      a refusal or a content filter
│   └── RequestRejected       400, 401, 403, 422: no retry and no fallback helps
│       └── ModelUnfit        404, or a prompt too long for it         falls back
├── OutputError               no reply matches the declared output type, after all attempts
├── GuardBlocked              a guard rule blocked a prompt, a reply or a tool result
├── EndsRun                   ends or pauses the whole run: no isolated step, item, worker or agent contains it
│   ├── BudgetExceeded        the next call could exceed the run's limit of tokens or money
│   ├── Stopped               `else stop "why"`: status done                      also a RunError
│   ├── Rejected              a person rejected a value: status rejected          also a RunError
│   ├── Capped                limit of iterations, steps or time: status capped   also a RunError
│   ├── Waiting               a person must answer: status waiting                also a RunError
│   ├── WriteUnknown          a write began and its outcome is unknown: it is not repeated
│   ├── WriteRefused          a tool that writes was called where nothing may be written, as in an evaluation
│   └── StoreError            a record that must precede an action cannot be written
├── RunError                  a run stopped before its end
│   ├── GateFailed            status failed
│   └── CodeFailed            an expression or notebook function raised: status failed
│       └── CodeExit          it raised SystemExit, StopIteration or another thing that is no ordinary error
├── OrchtestFailed            a gate of a test cell does not hold      also an AssertionError
├── ExportError               the graph cannot be exported as a module
└── WeightsError              the local model's files are missing or do not match their pinned hashes
"""

from __future__ import annotations

import difflib
import hashlib
import json
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

_HERE = str(Path(__file__).parent)  # traceback frames below this folder are ours
_MAGIC = "get_ipython().run_"  # what IPython makes of a magic


class OrchError(Exception):
    """Base class of all orchmagic exceptions; `str(error)` is the user's message."""

    def _render_traceback_(self) -> list[str]:
        """Returns IPython's traceback: the line of the user's code that led here, and the message.

        Of an error in a magic cell the message alone: the cell stands above it.
        """
        frames = traceback.extract_tb(self.__traceback__)
        theirs = [*takewhile(lambda frame: not frame.filename.startswith(_HERE), frames)][-1:]
        theirs = [f for f in theirs if "IPython" not in Path(f.filename).parts and _MAGIC not in (f.line or "")]
        return [*(f"line {f.lineno}: {f.line}" for f in theirs), f"{type(self).__name__}: {self}"]


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` if a known name is close to `word`, else ""."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a cell: position, what was found, what to write instead.

    `line` counts from 1 and the magic line is line 1; `column` counts characters from 0.
    """

    line: int
    column: int
    found: str
    write: str
    source: str = ""

    def __str__(self) -> str:
        text = f"line {self.line}: {self.found}. {self.write}"
        if not self.source:
            return text
        return f"{text}\n    {self.source}\n    {' ' * self.column}^"


class CellError(OrchError):
    """The cell is invalid. `problems` lists all its problems in text order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__("\n".join(str(p) for p in self.problems))


class SettingsError(OrchError):
    """A setting, alias, API key or installed extra is missing or wrong."""


class InputError(OrchError):
    """An input of the run is missing or is not JSON serialisable."""


class ModelError(OrchError):
    """A model call failed at `model` of `provider`. `status` is the HTTP status, None without one.

    `attempts` is the number of failed attempts; the retry layer sets it. `retry_after`: seconds for which the endpoint
    asks to wait, None if it does not.
    """

    transient = False
    falls_back = False
    may_have_spent = False
    attempts = 1
    retry_after: float | None = None

    def __init__(self, message: str, *, model: str = "", provider: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.provider = provider
        self.status = status


class RateLimited(ModelError):
    """The endpoint's rate limit was reached; `retry_after` is in seconds, None if not given."""

    transient = True
    falls_back = True

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        provider: str = "",
        status: int | None = 429,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, model=model, provider=provider, status=status)
        self.retry_after = retry_after


class ServerFailed(ModelError):
    """The endpoint failed (5xx)."""

    transient = True
    falls_back = True


class CallTimeout(ModelError):
    """The answer was not complete within the timeout."""

    transient = True
    falls_back = True
    may_have_spent = True


class ConnectionLost(ModelError):
    """The endpoint cannot be reached, or the connection broke, perhaps during an answer."""

    transient = True
    falls_back = True
    may_have_spent = True


class BatchLapsed(ModelError):
    """A request was not processed, since its batch expired or was cancelled; nothing was billed for it."""

    transient = True
    falls_back = True


class QuotaExhausted(ModelError):
    """The account of the API key has no quota left: a retry does not help, a fallback may."""

    falls_back = True


class NoDeployment(ModelError):
    """No deployment of an alias supports the request or is available in time; nothing was sent."""

    falls_back = True


class UnusableReply(ModelError):
    """The endpoint charged for an answer that cannot be used, or that the endpoint could not parse itself.

    `usage` is an `events.Usage` (untyped, as this module imports no other of the package), `cost` is in US
    dollars. Both are None if unknown.
    """

    falls_back = True

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        provider: str = "",
        status: int | None = None,
        usage: Any = None,
        cost: float | None = None,
    ) -> None:
        super().__init__(message, model=model, provider=provider, status=status)
        self.usage = usage
        self.cost = cost


class EmptyReply(UnusableReply):
    """The reply has neither text nor tool calls."""


class TruncatedReply(UnusableReply):
    """The reply was cut off at the token limit (`finish_reason` is "length").

    `is_short`: at a smaller limit than the step's, for which a budget had room; it is asked for once more, in full.
    """

    is_short = False


class RefusedReply(UnusableReply):
    """The model refused, or a content filter stopped it."""


class RequestRejected(ModelError):
    """The request or the API key is invalid (400, 401, 403, 422): neither retry nor fallback helps."""


class ModelUnfit(RequestRejected):
    """The endpoint has no such model (404), or the prompt is too long for it: another model may answer."""

    falls_back = True


class OutputError(OrchError):
    """No reply matches the declared output type. `reply` is the last reply's text."""

    def __init__(self, message: str, *, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply


class GuardBlocked(OrchError):
    """A guard rule blocked a text. `where` is input, output or tools; the message does not quote the text."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class EndsRun(OrchError):
    """Ends or pauses the whole run, wherever it is raised: nothing that contains other failures may contain it."""


class BudgetExceeded(EndsRun):
    """The next call could exceed `budget` (of the run or an inner orchestration), so it was not made."""

    def __init__(self, message: str, *, budget: object = None) -> None:
        super().__init__(message)
        self.budget = budget


class RunError(OrchError):
    """A run stopped before its end. `node` is the name of the step."""

    def __init__(self, message: str, *, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class GateFailed(RunError):
    """A gate's expression was false and no retry was left."""


class Stopped(EndsRun, RunError):
    """A gate ended the run early, as the cell asked: `else stop "why"`. `inside`: the gate of an inner cell."""

    inside = False


class Rejected(EndsRun, RunError):
    """A person rejected a value. The text is the reason that was typed."""


class Capped(EndsRun, RunError):
    """The run reached a limit of iterations, steps or time; its partial result is kept.

    `whose` is the `Context` that has the limit (untyped, as above), None for the innermost one.
    """

    def __init__(self, message: str, *, node: str = "", whose: object = None) -> None:
        super().__init__(message, node=node)
        self.whose = whose


class Waiting(EndsRun, RunError):
    """The run waits for a person: for one of `choices` about `value`, or for free text without choices.

    `tool` is the name of the tool if the question is the approval of a tool call.
    """

    def __init__(
        self, question: str, *, span: str, choices: Sequence[str] = (), value: Any = None, tool: str = ""
    ) -> None:
        super().__init__(question, node=span)
        self.span = span
        self.question = question
        self.choices = tuple(choices)
        self.value = value
        self.tool = tool

    @property
    def key(self) -> str:
        """A SHA-256 of the question, so that an answer is never used for a different question."""
        whole = json.dumps([self.question, self.choices, self.value], default=str)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class CodeFailed(RunError):
    """An expression or a notebook function raised."""


class CodeExit(CodeFailed):
    """Code of the notebook raised what is no ordinary error: `__cause__`. The message is its type and text.

    SystemExit, KeyboardInterrupt and Rust panics would end a thread or the kernel, and StopIteration fits in no future.
    """


class WriteUnknown(EndsRun):
    """A write with this key began before and its outcome is unknown; it was not run again."""


class WriteRefused(EndsRun):
    """A tool that writes was called where nothing may be written. It did not run."""


class StoreError(EndsRun):
    """A record that must be on disk before the run continues cannot be written."""


def ending(outcomes: Iterable[object]) -> BaseException | None:
    """Returns the outcome that ends the run, None if none does: an interrupt first, then a failure, a question last."""
    errors = [o for o in outcomes if isinstance(o, BaseException)]
    ends = [e for e in errors if isinstance(e, EndsRun) or not isinstance(e, Exception)]
    return min(ends, key=_gravity, default=None)


def _gravity(error: BaseException) -> int:
    kinds = (WriteUnknown, StoreError, BudgetExceeded, EndsRun)
    grave = next((i for i, kind in enumerate(kinds, 1) if isinstance(error, kind)), 0)
    return grave + isinstance(error, Waiting)


class OrchtestFailed(OrchError, AssertionError):
    """A test cell failed: a gate does not hold, or it could not be tried."""

    def _render_traceback_(self) -> list[str]:
        """Returns the message alone: it names the gate, and the cell stands above it."""
        return [f"{type(self).__name__}: {self}"]


class ExportError(OrchError):
    """The graph cannot be exported as a module; the message says why."""


class WeightsError(OrchError):
    """The local model's weights are missing or do not match their pinned hashes."""


def error_kind(error: BaseException) -> str:
    """Returns a short kind without user data: an HTTP status ("429"), "timeout", "connection" or the class name.
    For a step whose code or items failed, it is the kind of the cause.
    """
    if isinstance(error, RunError) and error.__cause__ is not None:
        return error_kind(error.__cause__)
    if isinstance(error, ModelError) and error.status:
        return str(error.status)
    if isinstance(error, CallTimeout | TimeoutError):
        return "timeout"
    return "connection" if isinstance(error, ConnectionLost) else type(error).__name__
