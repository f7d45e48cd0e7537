"""Converts the values of a graph's nodes from JSON in the state to what templates and expressions see, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from orchmagic.errors import InputError, OrchError
from orchmagic.graph.model import Call, Code, Graph, Node, Sub
from orchmagic.graph.output_types import OutputType, resolve, voted
from orchmagic.graph.used_inputs import item_use, uses


class ValueTypes:
    """The value types of a graph's nodes and of its inner graphs; built once for all runs of a definition.

    `requested` is the type of one reply of a call. The node's value may have more fields (votes) or be a list.
    `uses` are the parts that the graph uses of its inputs, `items` those of the items of a node with `over=`.
    """

    def __init__(self, graph: Graph, namespace: Mapping[str, object]) -> None:
        self._nodes: dict[str, Node] = {n.name: n for n in (*graph.nodes, *graph.given)}
        self.requested: dict[str, OutputType] = {}
        self.inner: dict[str, ValueTypes] = {}
        self._values: dict[str, OutputType] = {}
        self.uses = uses(graph)
        self.items = {n.name: item_use(n) for n in graph.nodes if getattr(n, "each", None)}
        for node in self._nodes.values():
            match node:
                case Call():
                    found = resolve(node.name, node.output, namespace, confidence=node.confidence)
                    self.requested[node.name] = found
                    self._values[node.name] = voted(found) if node.votes else found
                case Sub():
                    self.inner[node.name] = ValueTypes(node.graph, namespace)
                case _:
                    pass

    def typed(self, name: str, value: Any) -> Any:
        """Converts the JSON value of a node to its declared type."""
        node = self._nodes.get(name)
        if value is None or node is None:
            return value
        if isinstance(node, Code):
            return value if node.like is None else self.one(node.like, value)
        if getattr(node, "each", None) is not None and isinstance(value, list):
            return [self.one(name, item) for item in value]
        return self.one(name, value)

    def given(self, name: str, value: Any) -> Any:
        """Converts a value that was passed for another step: JSON as a notebook writes it, also without vote figures.

        Raises:
            InputError: it does not fit the step's type.
        """
        node = self._nodes.get(name)
        if value is None or node is None:
            return value
        if getattr(node, "each", None) is not None and isinstance(value, list):
            return [None if item is None else self._given(name, item) for item in value]
        like = node.like if isinstance(node, Code) else None
        return self._given(like or name, value)

    def _given(self, name: str, value: Any) -> Any:
        node, problem = self._nodes[name], ""
        reads: list[Callable[[Any], Any]]
        if isinstance(node, Sub):
            reads = [partial(self.inner[name].given, step) for step in reversed(node.graph.results)]
        else:
            kinds = (self._values.get(name), self.requested.get(name))
            reads = [kind.rebuild for kind in kinds if kind is not None]
        for read in reads:
            try:
                return read(value)
            except OrchError as error:
                problem = problem or str(error)
        if problem:
            raise InputError(f"{name}={value!r} is no value of step {name!r}: {problem}")
        return value

    def one(self, name: str, value: Any) -> Any:
        """Converts one JSON value of a node; with `each`, that of one item."""
        if value is None:
            return None
        if name in self.inner:
            return self.inner[name].typed(value["step"], value["value"])
        kind = self._values.get(name)
        return value if kind is None else kind.rebuild(value)

    def accept(self, name: str, value: Any, like: Any = None) -> None:
        """Checks that `value` (JSON) can replace a node's value; `like` is the current one.

        Raises:
            OrchError: it does not fit the node's type (for an inner graph: none of its result types).
        """
        if getattr(self._nodes.get(name), "each", None) is None:
            self._accept_one(name, value)
        elif not isinstance(value, list) or (isinstance(like, list) and len(value) != len(like)):
            raise InputError(f"it is a list{f' of {len(like)} items' if like else ''}")
        else:
            for one in value:
                self._accept_one(name, one)

    def _accept_one(self, name: str, value: Any) -> None:
        node = self._nodes.get(name)
        if value is None or not isinstance(node, Sub):
            self.one(name, value)
            return
        wrong = [error for r in node.graph.results if (error := self._misfit(name, r, value))]
        if len(wrong) == len(node.graph.results):
            raise wrong[0]

    def _misfit(self, name: str, result: str, value: Any) -> OrchError | None:
        try:
            self.inner[name].accept(result, value)
        except OrchError as error:
            return error
        return None

    def json(self, name: str, value: Any) -> Any:
        """Returns the value of a node as plain JSON: an inner graph's value without the name of its step."""
        node = self._nodes.get(name)
        if not isinstance(node, Sub) or value is None:
            return value
        return [v and v["value"] for v in value] if node.each and isinstance(value, list) else value["value"]
