"""What a run may take before anything is asked: calls, tokens and dollars, at least and at most.

At least: the shortest way to a done end, each answer right at once. At most: the longest way, with every loop,
every re-ask and the longest replies, cut at the run's own limits. Tokens are estimated at four bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from orchmagic import template
from orchmagic.errors import InputError
from orchmagic.events import Usage
from orchmagic.graph import END, Approve, Branch, Call, Code, Edge, Graph, Node, Tools
from orchmagic.models import Deployment, prices

if TYPE_CHECKING:
    from orchmagic.context import CallDefaults

_BYTES = 4  # of English text to a token, about
_TOOL = 200  # tokens of one tool's result, a guess
_SHORT = 5  # tokens of the shortest sensible reply


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """One call step: how often it may be asked, and the tokens and dollars (None: price unknown) of all of it."""

    name: str
    model: str
    calls: Range
    tokens: Range
    cost: Range | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """One run. `attempts` is the most that retries and fallbacks can make of the calls; `cost` in US dollars,
    None when the price of `unknown` models is not known.
    """

    calls: Range
    tokens: Range
    cost: Range | None
    attempts: int
    unknown: tuple[str, ...]
    steps: tuple[StepEstimate, ...]
    limits: str

    def text(self) -> str:
        """For a person: a line per step, then the whole run."""
        lines = ["Dry run: no model was called. Tokens are estimated at four bytes each."]
        width = max((len(s.name) for s in self.steps), default=0)
        lines += [
            f"  {s.name:<{width}}  {s.model}: {_whole(s.calls)} calls, {_whole(s.tokens)} tokens, {_dollars(s.cost)}"
            for s in self.steps
        ]
        lines.append(f"One run: {_whole(self.calls)} calls, {_whole(self.tokens)} tokens, {_dollars(self.cost)}")
        lines.append(f"With every retry and fallback at most {self.attempts:,} attempts. {self.limits}")
        if self.unknown:
            lines.append(f"Price unknown: {', '.join(self.unknown)} (set input_price and output_price of the alias)")
        return "\n".join(lines)


def estimate(
    graph: Graph,
    known: Mapping[str, object],
    namespace: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
    retries: int = 2,
) -> Estimate:
    """The range of one run. `known` are the inputs that have a value, `retries` those of the transport."""
    repeats = _repeats(graph)
    rows = {n.name: _row(n, graph, {**namespace, **known}, deployments, defaults, repeats[n.name]) for n in graph.nodes}
    steps = tuple(r for r in rows.values() if r is not None)
    low = _way(graph, {n: 0.0 if r is None else r.tokens.low for n, r in rows.items()}, min)
    high = _way(graph, {n: 0.0 if r is None else r.tokens.high for n, r in rows.items()}, max)
    few = [r for n in low if (r := rows[n]) is not None]
    many = [r for n in high if (r := rows[n]) is not None]
    top = graph.limits.max_tokens or float("inf")
    unknown = tuple(dict.fromkeys(s.model for s in steps if s.cost is None))
    cost = None
    if not unknown:
        most = sum(s.cost.high for s in many if s.cost)
        cost = Range(sum(s.cost.low for s in few if s.cost), min(most, graph.limits.budget or most))
    fallbacks = max((len(_fallback(n, graph, defaults)) for n in graph.nodes if isinstance(n, Call)), default=0)
    calls = Range(sum(s.calls.low for s in few), sum(s.calls.high for s in many))
    return Estimate(
        calls=calls,
        tokens=Range(sum(s.tokens.low for s in few), min(top, sum(s.tokens.high for s in many))),
        cost=cost,
        attempts=int(calls.high) * (1 + retries) * (1 + fallbacks),
        unknown=unknown,
        steps=steps,
        limits=_limits(graph),
    )


def _repeats(graph: Graph) -> dict[str, int]:
    """How often each node may be visited: once, times the loops it stands in."""
    order = {n.name: i for i, n in enumerate(graph.nodes)}
    times = dict.fromkeys(order, 1)
    for source, target in graph.arrows():
        if target in order and order[target] <= order[source]:
            inside = [n for n, i in order.items() if order[target] <= i <= order[source]]
            limits = [
                arm.limit
                for name in inside
                if isinstance(link := graph.link(name), Branch)
                for arm in link.arms
                if arm.limit is not None
            ]
            for name in inside:
                times[name] *= 1 + max(limits, default=graph.limits.max_iterations)
    return {name: min(n, graph.limits.max_steps) for name, n in times.items()}


def _row(
    node: Node,
    graph: Graph,
    scope: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
    visits: int,
) -> StepEstimate | None:
    match node:
        case Call():
            deployment = deployments(node.model or graph.model or defaults.model)
            reply = node.max_tokens or defaults.max_tokens
            prompt, open_ = _prompt(node, scope)
            grown = (reply + _TOOL) * (visits - 1) / 2 if node.transcript else 0
            least = Usage(input=prompt, output=0 if node.when else _SHORT)
            asked = 1 if node.output.kind == "text" else 1 + node.retry  # a text always fits: it is never asked again
            calls = Range(0 if node.when else 1, visits * asked)
            each = Usage(input=int(prompt + open_ * reply + grown), output=reply)
            low, high = prices.cost(deployment, least), prices.cost(deployment, each)
            cost = None if low is None or high is None else Range(low * calls.low, high * calls.high)
            tokens = Range(least.total * calls.low, each.total * calls.high)
            return StepEstimate(node.name, deployment.alias, calls, tokens, cost)
        case Tools() | Code() | Approve():
            return None
        case _:
            assert_never(node)


def _prompt(node: Call, scope: Mapping[str, object]) -> tuple[int, int]:
    """(tokens of the prompt as far as it is known, how many values are not known yet)."""
    size, open_ = 0, 0
    for message in node.messages:
        missing = [n for n in template.names(message.text) if n not in scope]
        open_ += len(missing)
        try:
            text = message.text if missing else template.render(message.text, scope)
        except InputError:
            text = message.text
        size += len(text.encode("utf-8", "replace")) // _BYTES + 4
    return size, open_


def _way(
    graph: Graph, weight: Mapping[str, float], best: Callable[..., tuple[float, tuple[str, ...]]]
) -> tuple[str, ...]:
    """The lightest or heaviest way forward from the first node to a done end."""
    order = {n.name: i for i, n in enumerate(graph.nodes)}
    ways: dict[str, tuple[float, tuple[str, ...]]] = {END: (0.0, ())}
    for node in reversed(graph.nodes):
        ahead = [ways[t] for t in _ahead(graph, node.name) if t in ways and (t == END or order[t] > order[node.name])]
        if ahead:
            rest, path = best(ahead, key=lambda way: way[0])
            ways[node.name] = (weight[node.name] + rest, (node.name, *path))
    return ways.get(graph.first, (0.0, (graph.first,)))[1]


def _ahead(graph: Graph, name: str) -> list[str]:
    match graph.link(name):
        case Edge(target=target):
            return [target]
        case Branch() as link:
            return [*(arm.target for arm in link.arms), link.otherwise]
        case None:
            return [END]
        case other:
            assert_never(other)


def _fallback(node: Call, graph: Graph, defaults: CallDefaults) -> tuple[str, ...]:
    return node.fallback if node.fallback is not None else graph.fallback or defaults.fallback


def _limits(graph: Graph) -> str:
    limits = graph.limits
    parts = [f"{limits.max_steps} steps"]
    parts += [f"{limits.max_tokens:,} tokens"] if limits.max_tokens else []
    parts += [f"${limits.budget:g}"] if limits.budget is not None else []
    parts += [f"{limits.deadline:g} s"] if limits.deadline else []
    return f"The run stops at {', '.join(parts)}."


def _whole(span: Range) -> str:
    low, high = f"{span.low:,.0f}", f"{span.high:,.0f}"
    return low if low == high else f"{low} to {high}"


def _dollars(span: Range | None) -> str:
    if span is None:
        return "price unknown"
    return "$0" if span.high == 0 else f"${span.low:.4f} to ${span.high:.4f}"
