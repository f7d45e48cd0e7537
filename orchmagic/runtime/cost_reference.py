"""What a run will be measured against, as it is known when it begins: the strongest model's prices, the usual range.

A trace keeps both as data, so that a view, or a notebook that is opened next year, needs no settings and no prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from orchmagic.errors import SettingsError
from orchmagic.graph.model import Call, Graph, Sub
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment
from orchmagic.patterns import PATTERNS

SINCE = "Q2 2026, illustrative"
"""What the ranges of the patterns are worth."""


class CostReference(TypedDict):
    """Arguments of a Trace."""

    strongest: dict[str, Any] | None
    usual: dict[str, Any] | None


def cost_reference(pattern: str, models: Iterable[str], resolve: Callable[[str], Deployment]) -> CostReference:
    """For a run of `pattern` that may ask `models`, the names that `resolve` knows."""
    known = {d.alias: d for name in ("large", *models) if (d := _known(name, resolve))}
    return CostReference(strongest=prices.strongest(known.pop("large", None), known.values()), usual=_usual(pattern))


def models_of(graph: Graph, defaults: CallDefaults) -> list[str]:
    """The models that a run may ask, fallbacks too; `defaults` hold around the graph."""
    defaults = defaults.within(graph)
    models: list[str] = []
    for node in graph.nodes:
        if isinstance(node, Sub):
            models += models_of(node.graph, defaults)
        elif isinstance(node, Call):
            models += [*defaults.models(node), *defaults.fallbacks(node)]
    return models


def _known(name: str, resolve: Callable[[str], Deployment]) -> Deployment | None:
    try:
        return resolve(name)
    except SettingsError:  # no `large` at an endpoint of one's own; a run of the history whose model is gone
        return None


def _usual(pattern: str) -> dict[str, Any] | None:
    try:
        known = PATTERNS.get(pattern)
    except SettingsError:  # a run of a pattern that is not installed here
        return None
    return {"dollars": list(known.dollars), "seconds": list(known.seconds), "since": SINCE}
