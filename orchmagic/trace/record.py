"""The record of a run. A Trace grows, event by event; a Record is what it shows at one moment, as plain data.

The flat list of events is stored; spans (step > item > call > attempt, step > tool, step > inner step) are derived
from it. Views read records only. A record travels as JSON under MIME type `application/vnd.orchmagic.trace.v1+json`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from orchmagic.trace.events import Event, Status, TextStreamed, Usage

MIME = "application/vnd.orchmagic.trace.v1+json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the run. `kind`: call, code, gate, tools, approve, sub (steps, also those of an inner graph);
    item, vote, ask, attempt, tool (inside them); more (those that a saved record leaves out, in one).

    `status`: running, done, failed, skipped, retried, waiting, cancelled. `start` and `end` in seconds since
    the run started (`end` None while it runs). A step's usage and cost are the sums over what is inside it,
    so steps add up to the run. `age` is set when the answer came from the cache: seconds since it was given;
    `saved` is then what it cost when it was new. `recalled`: the answer came from a run's own record; then `usage`
    and `cost` are what this run paid for it in its earlier life, or `saved` is what the replayed run paid. `cost` in
    US dollars as far as prices are known, None when none is; `unpriced` counts the attempts whose price is not.
    `charged`: the endpoint itself reported the cost. `asked` is what a person is asked: `{"question", "choices",
    "value"}`.
    `why` tells the story in words: decisions, votes, scores, fallbacks, waits, re-asks, repairs.
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
    why: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return 0.0 if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Picture:
    """The graph as a view needs it: nodes as (name, kind), arrows as (source, target, label), those taken.

    `notes` are (name, words) that stand below a node's name; `joins` the arrows whose target waits for all of them.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    arrows: tuple[tuple[str, str, str], ...] = ()
    taken: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    joins: tuple[tuple[str, str], ...] = ()


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
    status: Status
    started: str
    seconds: float
    usage: Usage
    cost: float
    unpriced: int
    calls: int
    cached: int
    inputs: Mapping[str, Any]
    output: Any
    error: str | None
    reason: str | None
    limits: Mapping[str, Any]
    picture: Picture
    spans: tuple[Span, ...]
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

        return {"version": VERSION, **to_jsonable_python(self, fallback=repr)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Rebuild a record; span fields that are left out have their defaults.

        Raises:
            ValueError: written by a newer version.
        """
        if data.get("version") != VERSION:
            raise ValueError(f"trace version {data.get('version')!r}: this orchmagic reads version {VERSION}")
        usage = Usage(**data["usage"])
        spans = tuple(
            Span(**{**s, "usage": Usage(**s.get("usage", {})), "why": tuple(s.get("why", ()))}) for s in data["spans"]
        )
        picture = Picture(**{k: tuple(tuple(x) for x in v) for k, v in data["picture"].items()})
        rest = {k: v for k, v in data.items() if k not in {"version", "usage", "spans", "picture"}}
        return cls(**rest, usage=usage, spans=spans, picture=picture)


class Trace:
    """The growing list of events of one run. Not thread-safe: all events come from the session's loop."""

    def __init__(
        self,
        run: str,
        name: str,
        pattern: str,
        *,
        picture: Picture | None = None,
        limits: Mapping[str, Any] | None = None,
        strongest: Mapping[str, Any] | None = None,
        usual: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: str = "",
    ) -> None:
        self.run = run
        self.name = name
        self.pattern = pattern
        self.picture = picture or Picture()
        self.limits = dict(limits or {})
        self.strongest = strongest
        self.usual = usual
        self.started = started
        self.events: list[Event] = []
        self.listeners: list[Callable[[Event], None]] = []
        self.began = 0.0  # when the run went on: what it waited for a person is not its own time
        self._clock = clock
        self._zero: float | None = None

    @property
    def now(self) -> float:
        """Seconds since the first event."""
        return 0.0 if self._zero is None else self._clock() - self._zero

    def add(self, event: Event) -> None:
        """Stamp and store an event (a streamed piece of text is only passed on), then tell the listeners."""
        if self._zero is None:
            self._zero = self._clock()
        stamped = replace(event, at=self.now)
        if not isinstance(event, TextStreamed):
            self.events.append(stamped)
        for listener in tuple(self.listeners):
            listener(stamped)

    def restart(self) -> None:
        """Forget what happened: the run begins anew, from its record."""
        self.events.clear()
        self._zero = None
        self.began = 0.0

    def load(self, events: Iterable[Event]) -> None:
        """Go on where another process stopped: the clock runs on from the last of its events."""
        self.events[:] = events
        self._zero = self._clock() - max((e.at for e in self.events), default=0.0)

    def snapshot(self) -> Record:
        """The run as it stands, as plain data."""
        from orchmagic.trace.fold import derive  # noqa: PLC0415 - reads Record and Span from here

        return derive(self)
