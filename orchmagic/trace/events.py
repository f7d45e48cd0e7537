"""What happens in a run, as a tagged union of small frozen records. A trace stores them; views never see them.

`at` is seconds since the run started; the trace sets it. `span` is "step#visit" ("extract#2"), `call` is
"step#visit.n" ("extract#2.1"): the n-th question asked in that visit, each with one or more attempts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["running", "done", "capped", "failed", "cancelled", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer. `cached` and `written` are parts of `input`: read from, and put into the endpoint's own
    prompt cache; `reasoning` is a part of `output`.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    written: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=self.cached + other.cached,
            reasoning=self.reasoning + other.reasoning,
            written=self.written + other.written,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(Event):
    """`kind`: call, code, gate, tools, approve, sub, item, vote. `input` is JSON: messages, expression, item."""

    span: str
    node: str
    kind: str
    input: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished(Event):
    span: str
    output: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSkipped(Event):
    """The node did not run because its `when` was false."""

    node: str
    span: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFailed(Event):
    span: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event):
    call: str
    span: str
    model: str
    messages: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStreamed(Event):
    """A piece of the answer under way; live views only, never stored."""

    call: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    call: str
    attempt: int
    model: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(Event):
    """`cost` in US dollars, None when the model's price is unknown; `charged`: the endpoint itself reported it."""

    call: str
    attempt: int
    model: str
    provider: str
    usage: Usage
    cost: float | None
    charged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event):
    """`wait` is how many seconds until the next attempt, None when there is none.

    `usage` and `cost` are what the failed attempt spent (an unusable reply is billed).
    """

    call: str
    attempt: int
    model: str
    provider: str
    error: str
    wait: float | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit(Event):
    """`age` in seconds; `usage` and `cost` are what the stored answer spent when it was new.

    A semantic hit has the question that it `matched`, the cosine of the two, and the `hit` number to call it wrong by.
    """

    call: str
    age: float
    usage: Usage
    cost: float | None
    shared: bool = False
    matched: str = ""
    score: float | None = None
    hit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited(Event):
    """A semantic hit was not served but asked again, to know the error: whether the answer `agreed` with the stored."""

    call: str
    matched: str
    score: float
    agreed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled(Event):
    """The answer came from a record: of this run's earlier life (`paid`: it counts), or of the run it replays."""

    call: str
    usage: Usage
    cost: float | None
    paid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(Event):
    """One of several deployments of `alias` is asked; `reason` says why this one."""

    call: str
    alias: str
    deployment: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack(Event):
    """`source` failed, so `target` is asked; `reason` may quote the endpoint, `kind` (`429`, `call timeout`) not."""

    call: str
    source: str
    target: str
    reason: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired(Event):
    """The reply was mended locally (fences, a trailing comma), without asking again."""

    call: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded(Event):
    """A rule found something; `what` is its kind ("card"), never its text.

    `action`: block, redact, restore, warn. `where`: input, output, tools. `call` is the question's or the tool call's.
    """

    call: str
    rule: str
    action: str
    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished(Event):
    call: str
    text: str
    model: str
    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(Event):
    call: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event):
    call: str
    span: str
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    call: str
    result: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """A route, gate or limit chose where the run goes. `confidence` is 0..1, `basis` says where it comes from."""

    span: str
    choice: str
    reason: str
    confidence: float | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """The run waits for a person: for one of `choices` (approve, edit, reject) about `value`, or for any answer."""

    span: str
    question: str
    choices: tuple[str, ...] = ()
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    span: str
    reply: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    status: Status
    output: Any = None
    error: str | None = None
    reason: str | None = None


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON; `from_json` is its inverse."""
    return {"event": type(event).__name__, **asdict(event)}


def from_json(data: Mapping[str, Any]) -> Event:
    """Rebuild an event.

    Raises:
        KeyError, TypeError: it is none of this version.
    """
    kind = {k.__name__: k for k in Event.__subclasses__()}[data["event"]]
    fields = {k: v for k, v in data.items() if k != "event"}
    if "usage" in fields:
        fields["usage"] = Usage(**fields["usage"])
    for name in ("messages", "choices"):
        if name in fields:
            fields[name] = tuple(fields[name])
    return kind(**fields)
