"""The record of a run at one moment, as plain data: spans (step > item > call > attempt, step > tool, step > inner
step) and totals. Views read records only.

As JSON, its MIME type is `application/vnd.orchmagic.trace.v1+json`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from orchmagic.errors import InputError
from orchmagic.trace import reasons
from orchmagic.trace.events import Status, Usage
from orchmagic.trace.reasons import Reason

MIME = "application/vnd.orchmagic.trace.v1+json"
VERSION = 1
ENDS = {"end": "done", "fail": "failed", "stop": "stopped", "cap": "capped", "reject": "rejected"}
"""Node kinds of a Picture that are exits, with the word for each."""
TIMES = "\u00d7"
SAID_NO, NOT_VERIFIED, WITH_FAILURES, LOW_CONFIDENCE = DOUBTS = (
    "check said no", "not verified", "with failures", "low confidence",
)  # fmt: skip
"""Why a run or a part of it that is done has no check mark; see `Span.doubt`."""
VOTES = "votes"
"""The unit in `Picture.repeats` for a node that asks the same question several times."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the run with a start and an end. `kind`: call, code, gate, tools, approve, sub (steps, also of an inner
    graph); item, vote, ask (a model call), attempt, tool (inside a step); more (one span for all that a saved record
    leaves out; `left_out` counts them by status).

    `status`: running, done, failed, skipped, retried, waiting, cancelled, rejected. `start` and `end` in seconds since
    the run started (`end` None while it runs). Usage and cost of a step are sums over the spans inside it,
    so steps add up to the run. For a cached answer, `age` is the seconds since the original answer and `saved` its
    cost. `recalled`: the answer came from a journal; `usage` and `cost` are then what this run paid for it before a
    resume, or `saved` is what the replayed run paid. `cost` in US dollars as far as prices are known, None if none
    is; `unpriced` counts the attempts of unknown cost. `perhaps` counts attempts that were sent and whose answer came
    late or broken: they were perhaps billed, `perhaps_cost` US dollars at most, as far as prices are known.
    `charged`: the endpoint reported the cost.
    `asked` is a question to a person: `{"question", "choices", "value"}`. `error` is the text of a failure,
    `error_kind` its kind ("429", "timeout", "ValueError"). `why` holds the reasons in order of time.
    `verified`: whether the answer passed the checks of its cascade; for a step with others inside, whether all did.
    None if nothing was to be verified. `doubt`: why a part that is done may not be good, itself or by a part inside it:
    `check said no`, `with failures`, `not verified`, `low confidence`; else empty.
    """

    id: str
    parent: str | None
    kind: str
    name: str
    status: str
    start: float
    end: float | None = None
    model: str = ""
    provider: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    unpriced: int = 0
    perhaps: int = 0
    perhaps_cost: float = 0.0
    charged: bool = False
    age: float | None = None
    saved: float | None = None
    recalled: bool = False
    asked: Any = None
    input: Any = None
    output: Any = None
    error: str | None = None
    error_kind: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    why: tuple[Reason, ...] = ()
    verified: bool | None = None
    doubt: str = ""

    @property
    def seconds(self) -> float:
        return 0.0 if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Picture:
    """The graph as a view needs it: nodes as (name, kind), arrows as (source, target, label), arrows taken.

    `repeats`: nodes that run several times in parallel, as (name, unit, count; 0 if not yet known). `notes`: other
    texts about a node, as (name, text). `joins`: arrows whose target waits for all its sources. `troubles`: nodes whose
    last visit failed or is in doubt, as (name, `failed` or `Span.doubt`). `doubt` is that of the run.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    arrows: tuple[tuple[str, str, str], ...] = ()
    taken: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    joins: tuple[tuple[str, str], ...] = ()
    repeats: tuple[tuple[str, str, int], ...] = ()
    troubles: tuple[tuple[str, str], ...] = ()
    doubt: str = ""

    def note(self, name: str) -> str:
        """Return the text below a node's name: `each chunk · 2 models`, often empty."""
        often = (
            f"{TIMES}{count} {what}" if count else f"each {what}" for node, what, count in self.repeats if node == name
        )
        return " · ".join((*often, *(words for node, words in self.notes if node == name)))


class RecordError(InputError, ValueError):
    """A stored record has another version or form, so it cannot be read."""


@dataclass(frozen=True)  # no slots: `_tree` is cached
class Record:
    """A run at one moment. `started` is ISO 8601 in UTC, `seconds` its duration so far.

    `calls` counts answers that came from a model, `cached` those from the cache, `recalled` those from the journal
    of the replayed run. `cost` is the sum of all known costs in US dollars; `unpriced` counts attempts of unknown
    price. `limits` are the run's limits; `reason` says why it ended. `strongest` is the model the cost is compared
    with, and its prices at that time; `usual` is the usual range of the pattern (`baseline.py`). `perhaps` and
    `perhaps_cost` are the sums over the spans. `verified`: False if an answer in it was not verified, None if
    none was to be. `doubt` is that of its parts, as in a span.
    """

    run: str
    name: str
    pattern: str
    status: Status = "running"
    started: str = ""
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    unpriced: int = 0
    calls: int = 0
    cached: int = 0
    inputs: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None
    error: str | None = None
    error_kind: str = ""
    reason: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    picture: Picture = field(default_factory=Picture)
    spans: tuple[Span, ...] = ()
    recalled: int = 0
    perhaps: int = 0
    perhaps_cost: float = 0.0
    strongest: Mapping[str, Any] | None = None
    usual: Mapping[str, Any] | None = None
    verified: bool | None = None
    doubt: str = ""

    @property
    def steps(self) -> tuple[Span, ...]:
        """The top-level spans, in the order they started."""
        return self._tree.get(None, ())

    def inside(self, span: Span) -> tuple[Span, ...]:
        """The spans directly inside `span`."""
        return self._tree.get(span.id, ())

    def below(self, span: Span) -> Iterator[Span]:
        """Yield all spans inside `span`, at any depth, parents first."""
        for inner in self.inside(span):
            yield inner
            yield from self.below(inner)

    def worth(self, spans: Iterable[Span]) -> float:
        """What the model calls inside `spans` cost, in US dollars, as if none had come from a cache."""
        inner = (s for span in spans for s in self.below(span) if s.kind == "ask")
        return math.fsum((s.cost or 0.0) + (s.saved or 0.0) for s in inner)

    def beside(self, span: Span) -> tuple[Span, ...]:
        """The spans with the same parent, including `span`."""
        return self._tree.get(span.parent, ())

    @cached_property
    def _tree(self) -> dict[str | None, tuple[Span, ...]]:
        found: dict[str | None, list[Span]] = defaultdict(list)
        for span in self.spans:
            found[span.parent].append(span)
        return {parent: tuple(spans) for parent, spans in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Return JSON data: `{"version": 1, ...fields}`, spans without default values; the inverse of `from_json`."""
        from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy; five times as fast as `asdict`

        spans = [to_jsonable_python(span_to_json(span), fallback=repr) for span in self.spans]
        return {**self.to_parts(), "spans": spans}

    def to_parts(self) -> dict[str, Any]:
        """Return `to_json()` with the spans as they are: those of thousands of items take megabytes as JSON data."""
        from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy

        return {"version": VERSION, **to_jsonable_python(replace(self, spans=()), fallback=repr), "spans": self.spans}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Rebuild a record; missing span fields get their defaults.

        Raises:
            RecordError: it has another version or form.
        """
        if data.get("version") != VERSION:
            raise RecordError(f"trace version {data.get('version')!r}: this orchmagic reads version {VERSION}")
        try:
            return cls._from_fields(data)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise RecordError(_other_form(error)) from None

    @classmethod
    def _from_fields(cls, data: Mapping[str, Any]) -> Record:
        usage = Usage(**data["usage"])
        spans = tuple(map(_span_from_json, data["spans"]))
        drawn = data["picture"]
        lists: dict[str, Any] = {k: tuple(map(tuple, v)) for k, v in drawn.items() if k != "doubt"}
        picture = Picture(**lists, doubt=drawn.get("doubt", ""))
        rest = {k: v for k, v in data.items() if k not in {"version", "usage", "spans", "picture"}}
        return cls(**rest, usage=usage, spans=spans, picture=picture)


def _defaults(kind: type) -> dict[str, Any]:
    """Return the default of each field; MISSING for a field without one."""
    return {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(kind)}


_SPAN, _USAGE = _defaults(Span), _defaults(Usage)


def _given(value: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ from their defaults: a third of the size, on disk and in memory."""
    return {name: given for name, default in defaults.items() if (given := getattr(value, name)) != default}


def span_to_json(span: Span) -> dict[str, Any]:
    """Return a span without its default values; its inputs and outputs are as they are."""
    data = _given(span, _SPAN)
    if "usage" in data:
        data["usage"] = _given(span.usage, _USAGE)
    if "why" in data:
        data["why"] = [reasons.to_json(reason) for reason in span.why]
    return data


def _span_from_json(data: Mapping[str, Any]) -> Span:
    why = tuple(reasons.from_json(reason) for reason in data.get("why", ()))
    return Span(**{**data, "usage": Usage(**data.get("usage", {})), "why": why})


def _other_form(error: Exception) -> str:
    """Return what is wrong with a stored record, in words."""
    if unknown := re.search(r"unexpected keyword argument ('[^']*')", str(error)):
        return f"it holds {unknown[1]}, which this orchmagic does not know: write pip install -U orchmagic"
    if isinstance(error, KeyError):
        return f"it lacks {error}: another version of orchmagic stored it"
    return f"it was stored in another form ({error})"
