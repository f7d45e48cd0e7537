"""Every error raised on purpose. Text is for people, attributes are for programs.

OrchError
├── CellError                 the cell cannot be read: one line per problem, with caret and what to write
├── SettingsError             an unknown alias, an unset key, a missing extra
├── InputError                a value that the run needs is missing or cannot travel as JSON
├── ModelError                a model call failed; `transient` (retry it?) and `falls_back` (try the next model?)
│   ├── RateLimited           429                              transient   falls back   .retry_after
│   ├── ServerFailed          5xx                              transient   falls back
│   ├── CallTimeout           no answer in time                transient   falls back   tokens may have been spent
│   ├── ConnectionLost        refused, reset, cut mid-stream   transient   falls back   tokens may have been spent
│   ├── QuotaExhausted        402, "insufficient quota"                    falls back
│   ├── NoDeployment          none of an alias fits, or can be asked now   falls back
│   ├── UnusableReply         also a tool call that the endpoint cannot read   falls back
│   │   ├── EmptyReply
│   │   ├── TruncatedReply    finish_reason "length"
│   │   └── RefusedReply      a refusal or a content filter
│   └── RequestRejected       400, 401, 403, 404, 422: no retry and no fallback helps
├── OutputError               the reply does not fit the declared output, after every re-ask
├── GuardBlocked              a guard's rule stopped a question, an answer or a tool's result
├── BudgetExceeded            the next call could pass the run's limit of tokens or money
├── RunError                  why a run stopped; ends the run, is not always a failure
│   ├── GateFailed            status failed
│   ├── Stopped               `else stop "why"`: status done
│   ├── Capped                iterations, steps, time: status capped
│   ├── Waiting               a person must answer: status waiting
│   └── CodeFailed            an expression or notebook function raised: status failed
├── WriteUnknown              a write was begun and nobody knows how it ended: it is not tried again
├── StoreError                what must be recorded before it is done cannot be recorded
├── ExportError               the graph cannot leave the notebook as it is
└── WeightsError              the local model's files are missing, or are not the ones that were pinned
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

_HERE = str(Path(__file__).parent)  # where our own frames are


class OrchError(Exception):
    """Base of all errors that orchmagic raises on purpose; `str(error)` is what a person reads."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the line of the person's own code that led here, and the text."""
        frames = traceback.extract_tb(self.__traceback__)
        theirs = list(takewhile(lambda frame: not frame.filename.startswith(_HERE), frames))[-1:]
        return [*(f"line {f.lineno}: {f.line}" for f in theirs), f"{type(self).__name__}: {self}"]


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known name is close to `word`, else the empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a cell: where, what was found, what to write.

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
    """The cell cannot be read. `problems` holds all that is wrong with it, in the order of the text."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__("\n".join(str(p) for p in self.problems))


class SettingsError(OrchError):
    """A setting, alias, key or installed extra is missing or wrong."""


class InputError(OrchError):
    """A value that the run needs is missing, or cannot travel as JSON."""


class ModelError(OrchError):
    """A model call failed. `model` and `provider` name who failed, `status` is the HTTP status if any.

    `attempts` is how often it was tried in vain; whoever retries sets it.
    """

    transient = False
    falls_back = False
    may_have_spent = False
    attempts = 1

    def __init__(self, message: str, *, model: str = "", provider: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.provider = provider
        self.status = status


class RateLimited(ModelError):
    """The endpoint asks to slow down; `retry_after` is in seconds, None when it did not say."""

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
    """No complete answer in time."""

    transient = True
    falls_back = True
    may_have_spent = True


class ConnectionLost(ModelError):
    """The endpoint cannot be reached, or the connection broke, perhaps in mid-answer."""

    transient = True
    falls_back = True
    may_have_spent = True


class QuotaExhausted(ModelError):
    """The account behind the key has nothing left: waiting does not help, another model may."""

    falls_back = True


class NoDeployment(ModelError):
    """None of the deployments of an alias can do what is asked, or none can be asked in time; nothing was sent."""

    falls_back = True


class UnusableReply(ModelError):
    """The endpoint answered and charged, but the answer cannot be used, or the endpoint could not read it itself.

    `usage` is an `events.Usage` (untyped here: this room imports no other) and `cost` US dollars: what the
    answer spent all the same; None when unknown.
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
    """Neither text nor tool calls."""


class TruncatedReply(UnusableReply):
    """Cut off at the token limit (`finish_reason` is "length")."""


class RefusedReply(UnusableReply):
    """The model refused, or a content filter stopped it."""


class RequestRejected(ModelError):
    """The request or the key is wrong (400, 401, 403, 404, 422): neither retry nor fallback helps."""


class OutputError(OrchError):
    """A reply does not fit the declared output. `reply` is the last reply's text."""

    def __init__(self, message: str, *, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply


class GuardBlocked(OrchError):
    """A rule says block: the text went no further. `where` is input, output or tools; what was found is not shown."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class BudgetExceeded(OrchError):
    """The next call could pass the limit of `budget` (the run's, or an inner orchestration's); it was not made."""

    def __init__(self, message: str, *, budget: object = None) -> None:
        super().__init__(message)
        self.budget = budget


class RunError(OrchError):
    """Why a run stopped before its end. `node` names the step."""

    def __init__(self, message: str, *, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class GateFailed(RunError):
    """A gate's expression was false and nothing was left to try."""


class Stopped(RunError):
    """A gate ended the run early, as the cell asked: `else stop "why"`."""


class Capped(RunError):
    """The run reached a limit of iterations, steps or time; its partial result is kept.

    `whose` is the context whose limit it was (untyped: this room imports no other), None for the innermost one.
    """

    def __init__(self, message: str, *, node: str = "", whose: object = None) -> None:
        super().__init__(message, node=node)
        self.whose = whose


class Waiting(RunError):
    """A person must answer before the run can go on: for one of `choices` about `value`, or in their own words.

    `tool` names the tool whose call is to be approved, if it is one.
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
        """What was asked, as a hash: an answer to another question is none to this one."""
        whole = json.dumps([self.question, self.choices, self.value], default=str)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class CodeFailed(RunError):
    """An expression or a notebook function raised."""


class WriteUnknown(OrchError):
    """A tool that writes was begun before, and its end is unknown; it was not run."""


class StoreError(OrchError):
    """What must be on disk before the run may go on cannot be written."""


class ExportError(OrchError):
    """The graph cannot leave the notebook as it is; says what stands in the way."""


class WeightsError(OrchError):
    """The local model's weights are missing, or are not the ones that were pinned."""


def error_kind(error: BaseException) -> str:
    """What kind of error it is, in few values that quote nobody: an HTTP status ("429"), "timeout", "connection", else
    the name of its class; of a step whose code or items failed, that of the failure itself.
    """
    if isinstance(error, RunError) and error.__cause__ is not None:
        return error_kind(error.__cause__)
    if isinstance(error, ModelError) and error.status:
        return str(error.status)
    if isinstance(error, CallTimeout | TimeoutError):
        return "timeout"
    return "connection" if isinstance(error, ConnectionLost) else type(error).__name__
