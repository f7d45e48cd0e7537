"""The events of a run, as a tagged union of small frozen records. A trace stores them; views read records only.

`at` is seconds since the run started; the trace sets it. `span` is "step#visit" ("extract#2"), `call` is
"step#visit.n" ("extract#2.1"): the n-th model call of that visit, with one or more attempts. `error` is the text of the
exception, `error_kind` its kind from `errors.kind`: "429", "timeout", "cancelled", "ValueError".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from orchmagic.trace import reasons
from orchmagic.trace.reasons import Reason

Status: TypeAlias = Literal["running", "done", "capped", "failed", "cancelled", "waiting", "rejected"]


_KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `at`: seconds since the run started. `tag`: name of the type in stored JSON."""

    tag: ClassVar[str] = ""
    at: float = 0.0

    def __init_subclass__(cls, tag: str = "") -> None:
        cls.tag = tag or cls.tag  # slots=True creates each class twice, the second time without `tag`
        _KINDS[cls.tag] = cls


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one answer. `cached` and `written` are parts of `input`: read from and written to the endpoint's
    prompt cache. `reasoning` is a part of `output`. `estimated`: the endpoint sent no counts, at least for a part.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    written: int = 0
    estimated: bool = False

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
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event, tag="run_started"):
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(Event, tag="node_started"):
    """`kind`: call, code, gate, tools, approve, sub, item, vote. `input` is JSON: messages, expression, item."""

    span: str
    node: str
    kind: str
    input: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished(Event, tag="node_finished"):
    """`verifies`: the step beside it whose latest answer this check judged; `output` says whether it passed."""

    span: str
    output: Any = None
    verifies: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSkipped(Event, tag="node_skipped"):
    """The node did not run because its `when` was false."""

    node: str
    span: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFailed(Event, tag="node_failed"):
    span: str
    error: str
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event, tag="call_started"):
    call: str
    span: str
    model: str
    messages: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStreamed(Event, tag="text_streamed"):
    """A piece of a streamed answer, for live views only; never stored."""

    call: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event, tag="attempt_started"):
    call: str
    attempt: int
    model: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(Event, tag="attempt_finished"):
    """`cost` in US dollars, None if the price is unknown; `charged`: the endpoint reported the cost."""

    call: str
    attempt: int
    model: str
    provider: str
    usage: Usage
    cost: float | None
    charged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event, tag="attempt_failed"):
    """`wait`: seconds until the next attempt, None if there is none.

    `usage` and `cost` (US dollars) are those of the failed attempt: an unusable reply is billed, too. `perhaps`: the
    request was sent and its usage is unknown (late, cut off, cancelled), so it was perhaps billed, `perhaps_cost` US
    dollars at most (None: unknown price).
    """

    call: str
    attempt: int
    model: str
    provider: str
    error: str
    error_kind: str = ""
    wait: float | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    perhaps: bool = False
    perhaps_cost: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit(Event, tag="cache_hit"):
    """`age` in seconds; `usage` and `cost` are those of the original call.

    A semantic hit also has the question that it `matched`, their cosine as `score`, and a `hit` number to report it by.
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
class CacheHitChecked(Event, tag="cache_hit_checked"):
    """A semantic hit was not served: the model was called to compare, and its answer `agreed` with the stored one."""

    call: str
    matched: str
    score: float
    agreed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHit(Event, tag="journal_hit"):
    """The answer came from a journal: of this run before a resume (`paid`: it counts), or of the run it replays."""

    call: str
    usage: Usage
    cost: float | None
    paid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentChosen(Event, tag="deployment_chosen"):
    """A `deployment` of `alias` was chosen among several; `reason` is of kind `deployment`."""

    call: str
    alias: str
    deployment: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSent(Event, tag="batch_sent"):
    """The call waits for `batch` (the endpoint's id) of so many `requests`; `sent`: its time, for people ("14:02")."""

    call: str
    batch: str
    requests: int
    sent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack(Event, tag="fell_back"):
    """Model `source` failed, so `target` is called; `error` may quote the endpoint, `error_kind` does not."""

    call: str
    source: str
    target: str
    error: str
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRepaired(Event, tag="reply_repaired"):
    """The reply was repaired locally (fences, a trailing comma): the model is not called again."""

    call: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTriggered(Event, tag="guard_triggered"):
    """A guard's rule found something; `what` is its kind ("card"), never its text.

    `action`: block, redact, restore, warn. `where`: input, output, tools. `call`: of a model or of a tool.
    """

    call: str
    rule: str
    action: str
    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished(Event, tag="call_finished"):
    call: str
    text: str
    model: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(Event, tag="call_failed"):
    call: str
    error: str
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event, tag="tool_started"):
    call: str
    span: str
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event, tag="tool_finished"):
    call: str
    result: Any = None
    error: str | None = None
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event, tag="decided"):
    """A route, gate or limit chose the next step. `reason`: of kind `decision`; `basis`: source of `confidence`."""

    span: str
    choice: str
    reason: Reason
    confidence: float | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRequested(Event, tag="input_requested"):
    """The run waits for a person: for one of `choices` (approve, edit, reject) about `value`; if empty, for any text.

    `tool` names the tool whose call needs approval, if any.
    """

    span: str
    question: str
    choices: tuple[str, ...] = ()
    value: Any = None
    tool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReceived(Event, tag="input_received"):
    """A person answered a question or decided an approval."""

    span: str
    reply: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event, tag="run_finished"):
    status: Status
    output: Any = None
    error: str | None = None
    error_kind: str = ""
    reason: str | None = None


_OLD_TAGS: Mapping[str, type[Event]] = {  # class names stored by older versions
    **{kind.__name__: kind for kind in _KINDS.values()},
    "Audited": CacheHitChecked,
    "Recalled": JournalHit,
    "Chosen": DeploymentChosen,
    "Repaired": ReplyRepaired,
    "Guarded": GuardTriggered,
    "Asked": InputRequested,
    "Answered": InputReceived,
}
_REASONS: Mapping[type[Event], str] = {NodeSkipped: "note", DeploymentChosen: "deployment", Decided: "decision"}


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as JSON data, its tag under `event`; the inverse of `from_json`."""
    data = {"event": event.tag, **asdict(event)}
    if isinstance(event, NodeSkipped | DeploymentChosen | Decided):
        data["reason"] = reasons.to_json(event.reason)
    return data


def from_json(data: Mapping[str, Any]) -> Event:
    """Rebuild an event, of this version or of an older one.

    Raises:
        KeyError, TypeError: `data` is not an event.
    """
    tag = data["event"]
    fields = {name: value for name, value in data.items() if name != "event"}
    kind = _KINDS.get(tag)
    if kind is None:
        kind = _OLD_TAGS[tag]
        fields = _updated(kind, fields)
    if kind in _REASONS:
        fields["reason"] = reasons.from_json(fields["reason"], _REASONS[kind])
    if "usage" in fields:
        fields["usage"] = Usage(**fields["usage"])
    for name in ("messages", "choices"):
        if name in fields:
            fields[name] = tuple(fields[name])
    return kind(**fields)


def _updated(kind: type[Event], fields: dict[str, Any]) -> dict[str, Any]:
    """Rename the fields of an event that was stored before events had tags."""
    if kind is CallFinished:  # other events of the call hold it now
        fields.pop("reason", None)
    if kind is FellBack:
        fields["error"], fields["error_kind"] = fields.pop("reason"), fields.pop("kind", "")
    if fields.get("error") == "cancelled":
        fields["error_kind"] = "cancelled"
    return fields
