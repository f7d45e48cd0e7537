"""The record of a run at one moment, as plain data: spans (step > item > call > attempt, step > tool, step > inner
step) and totals. Views read records only.

A record travels as JSON under MIME type `application/vnd.orchmagic.trace.v1+json`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchmagic.trace import reasons
from orchmagic.trace.events import Status, Usage
from orchmagic.trace.reasons import Reason

MIME = "application/vnd.orchmagic.trace.v1+json"
VERSION = 1
ENDS = {"end": "done", "fail": "failed", "stop": "stopped", "cap": "capped"}
"""Kinds of the picture's nodes that stand for a way out, and the word for each."""
TIMES = "\u00d7"
VOTES = "votes"
"""What each time is of a node that asks the same question several times."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the run. `kind`: call, code, gate, tools, approve, sub (steps, also those of an inner graph);
    item, vote, ask, attempt, tool (inside them); more (those that a saved record leaves out, in one: `left_out` counts
    them by status).

    `status`: running, done, failed, skipped, retried, waiting, cancelled. `start` and `end` in seconds since
    the run started (`end` None while it runs). A step's usage and cost are the sums over what is inside it,
    so steps add up to the run. `age` is set when the answer came from the cache: seconds since it was given;
    `saved` is then what it cost when it was new. `recalled`: the answer came from a run's own record; then `usage`
    and `cost` are what this run paid for it in its earlier life, or `saved` is what the replayed run paid. `cost` in
    US dollars as far as prices are known, None when none is; `unpriced` counts the attempts whose price is not.
    `charged`: the endpoint itself reported the cost. `asked` is what a person is asked: `{"question", "choices",
    "value"}`. `error` is the text of a failure, `error_kind` its kind ("429", "timeout", "ValueError").
    `why` holds what explains it: decisions, votes, scores, fallbacks, waits, repairs, in the order they came.
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

    @property
    def seconds(self) -> float:
        return 0.0 if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Picture:
    """The graph as a view needs it: nodes as (name, kind), arrows as (source, target, label), those taken.

    `repeats` are nodes that run several times side by side, as (name, what each time is, how often; 0 while the list is
    unknown); `notes` are (name, words) of what else there is to say; `joins` the arrows whose target waits for all.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    arrows: tuple[tuple[str, str, str], ...] = ()
    taken: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    joins: tuple[tuple[str, str], ...] = ()
    repeats: tuple[tuple[str, str, int], ...] = ()

    def note(self, name: str) -> str:
        """What stands below the name of a node: `each chunk · 2 models`, often nothing."""
        often = (
            f"{TIMES}{count} {what}" if count else f"each {what}" for node, what, count in self.repeats if node == name
        )
        return " · ".join((*often, *(words for node, words in self.notes if node == name)))


@dataclass(frozen=True)  # no slots: the tree is built once and kept
class Record:
    """A run at one moment. `started` is ISO 8601 in UTC, `seconds` its duration so far.

    `calls` counts answers that came from a model, `cached` those from the cache, `recalled` those from the record
    of the run that is replayed. `cost` is the sum of all known costs; `unpriced` counts attempts whose price is
    unknown. `limits` are the run's bounds, `reason` says why it ended as it did. `strongest` is the model that the
    run's cost is measured against, with its prices at the time; `usual` what its pattern usually takes (`baseline.py`).
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
    strongest: Mapping[str, Any] | None = None
    usual: Mapping[str, Any] | None = None

    @property
    def steps(self) -> tuple[Span, ...]:
        """The top-level spans, in the order they started."""
        return self._tree.get(None, ())

    def inside(self, span: Span) -> tuple[Span, ...]:
        """The spans directly inside `span`."""
        return self._tree.get(span.id, ())

    def below(self, span: Span) -> Iterator[Span]:
        """All spans inside `span`, at any depth, each before what is inside it."""
        for inner in self.inside(span):
            yield inner
            yield from self.below(inner)

    def beside(self, span: Span) -> tuple[Span, ...]:
        """The spans of the same parent, with `span`."""
        return self._tree.get(span.parent, ())

    @cached_property
    def _tree(self) -> dict[str | None, tuple[Span, ...]]:
        found: dict[str | None, list[Span]] = defaultdict(list)
        for span in self.spans:
            found[span.parent].append(span)
        return {parent: tuple(spans) for parent, spans in found.items()}

    def to_json(self) -> dict[str, Any]:
        """JSON-ready data: `{"version": 1, ...fields}`; `from_json` is its inverse."""
        from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy; five times as fast as `asdict`

        data = to_jsonable_python(self, fallback=repr)
        for item, span in zip(data["spans"], self.spans, strict=True):
            item["why"] = [reasons.to_json(reason) for reason in span.why]
        return {"version": VERSION, **data}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Rebuild a record; span fields that are left out have their defaults.

        Raises:
            ValueError: written by a newer version.
        """
        if data.get("version") != VERSION:
            raise ValueError(f"trace version {data.get('version')!r}: this orchmagic reads version {VERSION}")
        usage = Usage(**data["usage"])
        spans = tuple(map(_span, data["spans"]))
        picture = Picture(**{k: tuple(tuple(x) for x in v) for k, v in data["picture"].items()})
        rest = {k: v for k, v in data.items() if k not in {"version", "usage", "spans", "picture"}}
        return cls(**rest, usage=usage, spans=spans, picture=picture)


def _span(data: Mapping[str, Any]) -> Span:
    why = tuple(reasons.from_json(reason) for reason in data.get("why", ()))
    return Span(**{**data, "usage": Usage(**data.get("usage", {})), "why": why})
