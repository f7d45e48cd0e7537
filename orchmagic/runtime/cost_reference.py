"""Cost references of a run, fixed at its start: the strongest model's prices and the pattern's usual cost range.

A trace stores both, so that views of old notebooks need neither settings nor price lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypedDict

from orchmagic.errors import SettingsError
from orchmagic.graph.model import Call, Graph, Sub
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment
from orchmagic.patterns import PATTERNS

SINCE = "Q2 2026, illustrative"
"""Date and quality of the patterns' cost ranges."""


class CostReference(TypedDict):
    """Arguments of a Trace."""

    strongest: dict[str, Any] | None
    usual: dict[str, Any] | None


def cost_reference(pattern: str, models: Iterable[str], resolve: Callable[[str], Deployment]) -> CostReference:
    """The references of a run of `pattern` that may call `models`; models that `resolve` rejects are ignored."""
    known = {d.alias: d for name in {"large": 0, **dict.fromkeys(models, 0)} if (d := _known(name, resolve))}
    return CostReference(strongest=prices.strongest(known.pop("large", None), known.values()), usual=_usual(pattern))


def models_of(graph: Graph, defaults: CallDefaults) -> list[str]:
    """The models that a run may call, with fallbacks; `defaults` apply outside the graph."""
    return [name for name, _ in model_uses(graph, defaults)]


def model_uses(graph: Graph, defaults: CallDefaults) -> Iterator[tuple[str, bool]]:
    """Yields each model that a run may call, with fallbacks, and whether its cell says --batch."""
    defaults = defaults.within(graph)
    for node in graph.nodes:
        if isinstance(node, Sub):
            yield from model_uses(node.graph, defaults)
        elif isinstance(node, Call):
            yield from ((name, defaults.batch) for name in (*defaults.models(node), *defaults.fallbacks(node)))


def calls_of(graph: Graph, defaults: CallDefaults) -> list[tuple[str, ...]]:
    """The models of each call that a run may make, without fallbacks; several where a call may be asked of another."""
    defaults = defaults.within(graph)
    found: list[tuple[str, ...]] = []
    for node in graph.nodes:
        if isinstance(node, Sub):
            found += calls_of(node.graph, defaults)
        elif isinstance(node, Call):
            found.append(tuple(defaults.models(node)))
    return found


def _known(name: str, resolve: Callable[[str], Deployment]) -> Deployment | None:
    try:
        return resolve(name)
    except SettingsError:  # a custom endpoint may have no `large`; an old run may name a removed model
        return None


def _usual(pattern: str) -> dict[str, Any] | None:
    try:
        known = PATTERNS.get(pattern)
    except SettingsError:  # the pattern of an old run may not be installed
        return None
    return {"dollars": list(known.dollars), "seconds": list(known.seconds), "since": SINCE}
