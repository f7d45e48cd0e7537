"""Values that are known before a run: its inputs, and code steps that read nothing else and call no notebook code."""

from __future__ import annotations

from collections.abc import Mapping

from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Code, Each, Graph
from orchmagic.language import expression

_LONG = 1_000_000  # characters of the known values that are worked through for an estimate


def known_values(graph: Graph, known: Mapping[str, object]) -> dict[str, object]:
    """`known` and the value of each code step that follows from it alone."""
    found = dict(known)
    for node in graph.nodes:
        if isinstance(node, Code) and not node.gate and node.when is None and node.name not in known:
            found |= dict(_value(node.name, node.expression, found))
    return found


def given(inner: Graph, pairs: tuple[tuple[str, str], ...], known: Mapping[str, object]) -> dict[str, object]:
    """The inputs of an inner graph that are known."""
    named = dict(pairs)
    found = {n: known[n] for n in inner.inputs if n not in named and n in known}
    return found | {k: v for n, source in named.items() for k, v in _value(n, source, known)}


def items(each: Each, known: Mapping[str, object]) -> int | None:
    """How many items there will be; None when nobody knows yet."""
    for _, value in _value("items", each.over, known):
        try:
            return len(value)  # type: ignore[arg-type]  # what has no length is not known
        except TypeError:
            return None
    return None


def _value(name: str, source: str, known: Mapping[str, object]) -> list[tuple[str, object]]:
    """(name, value), or nothing when it does not follow from `known`."""
    scope = {**FUNCTIONS, **known}
    reads = expression.names(source)
    if not reads <= scope.keys() or sum(len(str(known[n])) for n in reads & known.keys()) > _LONG:
        return []
    try:
        return [(name, expression.evaluate(source, scope))]
    except Exception:  # noqa: BLE001 - then it is not known; the run will say what is wrong
        return []
