"""Estimates the calls, tokens and dollars of a run, at least and at most, without calling a model.

At least: the cheapest path to a done end, with no model called again. At most: the dearest path, with every loop,
every repeated call and the longest replies, capped at the run's limits. A token is estimated at four bytes.
If the list of a step with `over=` is not known yet, the step has from 0 to infinitely many items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from orchmagic.core.settings import Settings
from orchmagic.core.text_format import counted, table
from orchmagic.errors import InputError
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Approve, Call, Code, Each, Graph, Node, Sub, Tools
from orchmagic.graph.paths import longest, repeats, way
from orchmagic.graph.resolution import CallDefaults
from orchmagic.language import expression, template
from orchmagic.models import images
from orchmagic.models.batching import HOURS, in_batch
from orchmagic.models.pricing import prices
from orchmagic.models.routing import alias_advice
from orchmagic.models.types import Deployment, Pool
from orchmagic.models.wire.chat_completions import prompt_tokens
from orchmagic.trace import humanize
from orchmagic.trace.events import Usage

_TOOL = 200  # tokens of one tool's result, a guess
_SHORT = 5  # tokens of the shortest sensible reply
_LONG = 1_000_000  # characters: an expression that reads more is not evaluated for an estimate


@dataclass(frozen=True, slots=True)
class Range:
    """A range of a quantity; `high` is infinite if unknown."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def times(self, other: Range) -> Range:
        """Multiplies two ranges; 0 times infinity is 0."""
        return Range(self.low * other.low, self.high * other.high if self.high and other.high else 0.0)


_ONCE = Range(1, 1)


@dataclass(frozen=True, slots=True)
class Models:
    """Looks up models: the `deployment` of a name, and the `pool` of an alias with several deployments."""

    deployment: Callable[[str], Deployment]
    pool: Callable[[str], Pool | None]
    settings: Settings
    environ: Mapping[str, str]

    def members(self, name: str, *, batch: bool = False) -> tuple[Deployment, ...]:
        """Returns all deployments of a name; with `batch` as they are called through their Batch API."""
        found = self.pool(name)
        members = found.members if found else (self.deployment(name),)
        return tuple(map(in_batch, members)) if batch else members


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """The estimate of one call step: calls, and all their tokens and dollars (None: price unknown).

    `name` is a path: `digest/map` is step map of the graph inside digest. `attempts` is the most that one call can
    make, by model: first the step's own, then its fallbacks.
    """

    name: str
    model: str
    calls: Range
    tokens: Range
    cost: Range | None
    attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of one run. `attempts` is the most with all retries, deployments and fallbacks.

    `cost` is in US dollars, None if there are models of `unknown` price; `least` is the minimum for all others.
    `notes` name the models without a fallback. `batched` steps go through a Batch API, in up to `waves` batches in
    a row.
    """

    calls: Range
    tokens: Range
    cost: Range | None
    attempts: float
    unknown: tuple[str, ...]
    steps: tuple[StepEstimate, ...]
    limits: str
    least: float = 0.0
    notes: tuple[str, ...] = ()
    batched: int = 0
    waves: int = 0

    @property
    def wait(self) -> str:
        """How many batches a run may wait for; empty if it waits for none."""
        return f"up to {counted(self.waves, 'wave')} in a row, each up to {HOURS} h" if self.waves else ""

    def text(self) -> str:
        """Returns text for the user: a line per step, then the whole run."""
        lines = ["Dry run: no model was called. Tokens are estimated at four bytes each."]
        figures = [f"{_some(s.calls, 'call')}, {_some(s.tokens, 'token')}, {_dollars(s.cost)}" for s in self.steps]
        rows = [(f"  {s.name}", f"{s.model}: {said}") for s, said in zip(self.steps, figures, strict=True)]
        lines += [table(rows)] if rows else []
        whole = f"{humanize.money(self.least)}, plus calls without a price"
        whole = whole if self.unknown and self.least else _dollars(self.cost)
        lines.append(f"One run: {_some(self.calls, 'call')}, {_some(self.tokens, 'token')}, {whole}")
        most = f"{_count(self.attempts)} attempt{'s' * (self.attempts != 1)}{self._each()}"
        lines.append(f"With every retry and fallback at most {most}. {self.limits}")
        if self.batched:
            lines.append(
                f"Batches: {counted(self.batched, 'step')}, {self.wait}. "
                "A reply that does not fit, and a retry, waits for one more."
            )
        if self.unknown:
            lines.append(f"No price known: {', '.join(self.unknown)} (set input_price and output_price of the alias)")
        return "\n".join((*lines, *self.notes))

    def _each(self) -> str:
        """Returns the most attempts of one call, by model."""
        most: dict[str, int] = {}
        for step in self.steps:
            most |= step.attempts
        return f" (a call: up to {', '.join(f'{n} of {name}' for name, n in most.items())})" if most else ""


def estimate(
    graph: Graph,
    known: Mapping[str, object],
    namespace: Mapping[str, object],
    models: Models,
    defaults: CallDefaults,
) -> Estimate:
    """Estimates one run. `known` are the inputs that have a value."""
    reader = _GraphReader(namespace, models)
    few, many = reader.rows(graph, known, defaults.within(graph))
    top = graph.limits.max_tokens or math.inf
    unknown = tuple(dict.fromkeys(s.model for s in many if s.cost is None))
    least, most = sum(s.cost.low for s in few if s.cost), sum(s.cost.high for s in many if s.cost)
    budget = most if graph.limits.budget is None else graph.limits.budget
    cost = None if unknown else Range(least, min(most, budget))
    calls = Range(sum(s.calls.low for s in few), sum(s.calls.high for s in many))
    return Estimate(
        calls=calls,
        tokens=Range(sum(s.tokens.low for s in few), min(top, sum(s.tokens.high for s in many))),
        cost=cost,
        attempts=sum(s.calls.high * sum(s.attempts.values()) for s in many),
        unknown=unknown,
        steps=tuple(reader.steps.values()),
        limits=_limits(graph),
        least=least,
        notes=tuple(reader.notes),
        batched=len(reader.batched),
        waves=reader.waves(graph, defaults.within(graph)) if reader.batched else 0,
    )


class _GraphReader:
    """Estimates a graph and its inner graphs. `steps` are all call steps, `notes` the advice on their models."""

    def __init__(self, namespace: Mapping[str, object], models: Models) -> None:
        self.namespace, self.models = namespace, models
        self.steps: dict[str, StepEstimate] = {}
        self.notes: dict[str, None] = {}  # each once, in order
        self.batched: dict[str, None] = {}  # the steps whose calls go through a Batch API

    def rows(
        self, graph: Graph, known: Mapping[str, object], defaults: CallDefaults, path: str = "", often: Range = _ONCE
    ) -> tuple[list[StepEstimate], list[StepEstimate]]:
        """Returns the steps on the cheapest and on the dearest path (by tokens) of a graph that runs `often`."""
        values = _known_values(graph, known)
        visits = repeats(graph)
        found = {n.name: self._node(n, defaults, values, visits[n.name], path, often) for n in graph.nodes}
        light = {n: sum(r.tokens.low for r in few) for n, (few, _) in found.items()}
        heavy = {n: sum(r.tokens.high for r in many) for n, (_, many) in found.items()}
        few = [row for n in way(graph, light, min) for row in found[n][0]]
        many = [row for n in way(graph, heavy, max) for row in found[n][1]]
        return few, many

    def waves(self, graph: Graph, defaults: CallDefaults) -> int:
        """Returns how many batches in a row a run may wait for, on its longest path."""
        visits = repeats(graph)

        def of(node: Node) -> int:
            if isinstance(node, Sub):
                return self.waves(node.graph, defaults.within(node.graph))
            if not isinstance(node, Call):
                return 0
            names = defaults.models(node)[: visits[node.name]]
            return int(_goes_in_batches([self.models.members(name, batch=defaults.batch) for name in names]))

        return longest(graph, {node.name: visits[node.name] * of(node) for node in graph.nodes})

    def _node(
        self, node: Node, defaults: CallDefaults, known: Mapping[str, object], visits: int, path: str, often: Range
    ) -> tuple[list[StepEstimate], list[StepEstimate]]:
        match node:
            case Call():
                often = often.times(_runs(node, known, visits))
                step = self._call(replace(node, name=f"{path}{node.name}"), defaults, known, visits, often)
                self.steps[step.name] = step
                return [step], [step]
            case Sub():
                inputs = {} if visits > 1 else _given(node.graph, node.given, known)
                if node.graph.safety and node.graph.safety.guard:
                    self.notes[f"Guards inside {path}{node.name}: {', '.join(node.graph.safety.guard)}"] = None
                runs, inner = often.times(_runs(node, known, visits)), defaults.within(node.graph)
                return self.rows(node.graph, inputs, inner, f"{path}{node.name}/", runs)
            case Tools() | Code() | Approve():
                return [], []
            case _:
                assert_never(node)

    def _call(
        self, node: Call, defaults: CallDefaults, known: Mapping[str, object], visits: int, often: Range
    ) -> StepEstimate:
        """Estimates one call step; `often` is how many times it calls its model (visits, items, votes)."""
        names, fallback = defaults.models(node)[:visits], defaults.fallbacks(node)
        models = [self.models.members(name, batch=defaults.batch) for name in names]
        if _goes_in_batches(models):
            self.batched[node.name] = None
        # each round makes at most one attempt per deployment, hedged or not
        attempts = {n: len(self.models.members(n)) * (1 + defaults.retries) for n in (*names, *fallback)}
        for name in names:
            note = alias_advice.no_fallback(name, (*names, *fallback), self.models.settings, self.models.environ)
            self.notes |= {note: None} if note else {}
        reply = defaults.reply_tokens(node)
        prompt, open_ = _prompt(node, {**self.namespace, **known})
        grown = (reply + _TOOL) * (visits - 1) / 2 if node.transcript else 0
        least = Usage(input=prompt, output=_SHORT)
        most = Usage(input=int(prompt + open_ * reply + grown), output=reply)
        times = 1 if node.output.kind == "text" else 1 + defaults.reasks(node)  # text fits any output: no second call
        calls = often.times(Range(1, times))
        tokens = calls.times(Range(least.total, most.total))
        # a visit calls one model of the ladder: the one with the most attempts is the bound
        rungs = {name: attempts[name] for name in [max(names, key=attempts.__getitem__), *fallback]}
        model = ", ".join(dict.fromkeys(self.models.deployment(name).alias for name in names))
        return StepEstimate(node.name, model, calls, tokens, _cost(models, least, most, calls), rungs)


def _goes_in_batches(models: Iterable[Iterable[Deployment]]) -> bool:
    return any(m.batch for members in models for m in members)


def _runs(node: Call | Sub, known: Mapping[str, object], visits: int) -> Range:
    """Returns how often a node runs: visits times items times votes; from 0 if it has a `when`."""
    found = Range(0 if node.when else 1, visits)
    if node.each:
        count = _items(node.each, known)
        found = found.times(Range(0, math.inf) if count is None else Range(count, count))
    votes = node.votes if isinstance(node, Call) else None
    if votes:
        found = found.times(Range(votes.count, votes.count + bool(votes.least)))  # a fallback may decide
    return found


def _cost(models: Sequence[Sequence[Deployment]], least: Usage, most: Usage, calls: Range) -> Range | None:
    """Returns the dollars of all calls: at least at the first model's price, at most at the dearest's, or None."""
    lows = [prices.cost(m, least) for m in models[0]]
    highs = [prices.cost(m, most) for members in models for m in members]
    known = [h for h in highs if h is not None]
    if len(known) < len(highs):
        return None
    return calls.times(Range(min(low for low in lows if low is not None), max(known)))


def _prompt(node: Call, scope: Mapping[str, object]) -> tuple[int, int]:
    """Returns (tokens of the known part of the prompt, number of unknown values)."""
    messages, open_ = [], 0
    for message in node.messages:
        names = template.names(message.text)
        missing = [n for n in names if n not in scope]
        open_ += len(missing)
        try:
            sent = {n: _as_sent(scope[n]) for n in names if n in scope}
            pictures = "".join(str(value) for value in sent.values() if isinstance(value, images.Image))
            text = message.text + pictures if missing else template.render(message.text, {**scope, **sent})
        except InputError:
            text = message.text
        messages.append({"content": images.content(text)})
    return prompt_tokens(messages), open_


def _as_sent(value: object) -> object:
    """Returns an image as a run would put it into the prompt; other values unchanged."""
    found = images.encode(value)
    return value if found is None else images.seen(found)


def _limits(graph: Graph) -> str:
    limits = graph.limits
    parts = [counted(limits.max_steps, "step")]
    parts += [f"{limits.max_tokens:,} tokens"] if limits.max_tokens is not None else []
    parts += [humanize.money(limits.budget)] if limits.budget is not None else []
    parts += [f"{limits.deadline:g} s"] if limits.deadline is not None else []
    limited_unless_open = {"deadline": limits.deadline, "limit of tokens": limits.max_tokens}
    absent = [name for name, value in limited_unless_open.items() if value is None]
    return f"The run stops at {', '.join(parts)}{'; it has no ' * bool(absent)}{' and no '.join(absent)}."


def _some(span: Range, noun: str) -> str:
    low, high = f"{span.low:,.0f}", _count(span.high)
    return counted(round(span.low), noun) if low == high else f"{low} to {high} {noun}s"


def _count(number: float) -> str:
    return "any number of" if math.isinf(number) else f"{number:,.0f}"


def _dollars(span: Range | None) -> str:
    if span is None:
        return humanize.money(None)
    if math.isinf(span.high):
        return f"{humanize.money(span.low)} or more"
    return "$0" if span.high == 0 else f"{humanize.money(span.low)} to {humanize.money(span.high)}"


def _known_values(graph: Graph, known: Mapping[str, object]) -> dict[str, object]:
    """Returns `known` and the values of code steps that depend only on it and call no notebook code."""
    found = dict(known)
    for node in graph.nodes:
        if isinstance(node, Code) and not node.gate and node.name not in known:
            found |= _value(node.name, node.expression, found)
    return found


def _given(inner: Graph, pairs: tuple[tuple[str, str], ...], known: Mapping[str, object]) -> dict[str, object]:
    """Returns the known inputs of an inner graph."""
    named = dict(pairs)
    found = {n: known[n] for n in inner.inputs if n not in named and n in known}
    for name, source in pairs:
        found |= _value(name, source, known)
    return found


def _items(each: Each, known: Mapping[str, object]) -> int | None:
    """Returns the number of items; None if it is not known yet."""
    try:
        return len(_value("items", each.over, known)["items"])  # type: ignore[arg-type]  # its TypeError is caught
    except (KeyError, TypeError):  # not known, or without a length
        return None


def _value(name: str, source: str, known: Mapping[str, object]) -> dict[str, object]:
    """Returns {name: value of the expression}; empty if `known` is not enough to evaluate it."""
    scope = {**FUNCTIONS, **known}
    reads = expression.names(source)
    if not reads <= scope.keys() or sum(len(str(known[n])) for n in reads & known.keys()) > _LONG:
        return {}
    try:
        return {name: expression.evaluate(source, scope)}
    except Exception:  # noqa: BLE001 - counts as unknown; the run will report the error
        return {}
