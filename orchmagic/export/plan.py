"""What must be known before a line is written: names, types, endpoints, and which values may be missing where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchmagic.export import names, sources, templates
from orchmagic.export.copied import Copied, is_constant
from orchmagic.export.endpoints import Endpoints, endpoints
from orchmagic.graph import Approve, Branch, Call, Code, Graph, Node, Tools
from orchmagic.models import Deployment
from orchmagic.schema import OutputType, annotation_names, resolve

if TYPE_CHECKING:
    from orchmagic.context import CallDefaults


@dataclass
class Plan:
    """One graph on its way into a module."""

    graph: Graph
    namespace: Mapping[str, object]
    defaults: CallDefaults
    endpoints: Endpoints
    copied: Copied

    @cached_property
    def constants(self) -> dict[str, object]:
        """Inputs that are constants by their name and value: PRODUCTS = ["disk", "printer"]."""
        named = {n: self.namespace.get(n) for n in self.graph.inputs if n.isupper() and n in self.namespace}
        return {n: v for n, v in named.items() if is_constant(v)}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """What a run of the module is given."""
        return tuple(n for n in self.graph.inputs if n not in self.constants)

    @cached_property
    def calls(self) -> list[Call]:
        """The steps that ask a model."""
        return [n for n in self.graph.nodes if isinstance(n, Call)]

    @cached_property
    def types(self) -> dict[str, OutputType]:
        """The output of each call."""
        return {n.name: resolve(n.name, n.output, self.namespace, confidence=n.confidence) for n in self.calls}

    @cached_property
    def variable(self) -> dict[str, str]:
        """The local variable of each value of the state; constants keep their name."""
        called = {f"{f}_{word}" for f in self.function.values() for word in ("prompt", "question")}
        own = names.local([*self.inputs, *(n.name for n in self.graph.nodes)], called | set(self.graph.code))
        return {**own, "messages": "messages"}

    @cached_property
    def function(self) -> dict[str, str]:
        """The function of each node."""
        return names.functions((n.name for n in self.graph.nodes), self.graph.code)

    @cached_property
    def class_(self) -> dict[str, str]:
        """The class of each output that needs one of its own."""
        own = [n.name for n in self.calls if self.types[n.name].kind in {"fields", "value"}]
        return names.classes(own, [*self.graph.code, *self.constants])

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The class of each tool's arguments."""
        tools = [t for n in self.graph.nodes if isinstance(n, Tools) for t in n.tools]
        return names.classes(dict.fromkeys(tools), [*self.graph.code, *self.class_.values()])

    @cached_property
    def counted(self) -> frozenset[str]:
        """Nodes whose visits a branch counts."""
        return frozenset(
            link.source
            for link in self.graph.links
            if isinstance(link, Branch) and any(a.limit is not None for a in link.arms)
        )

    @property
    def has_tools(self) -> bool:
        """Whether a step may call tools."""
        return any(n.tools for n in self.calls)

    @property
    def actions(self) -> bool:
        """Whether a model that is asked with tools needs them spelled as JSON actions."""
        return self.has_tools and any(d.tools == "json" for d in self.endpoints.deployments.values())

    @property
    def wants_choice(self) -> bool:
        """Whether `ask` must return more than the value: tool calls or log-probabilities."""
        return any(n.name in self.typed and (n.tools or self.logprobs(n)) for n in self.calls)

    @cached_property
    def typed(self) -> dict[str, OutputType]:
        """What the model is asked for, for each call that asks for more than text."""
        return {
            n.name: self.types[n.name].asked(self_report=bool(n.confidence) and not self.logprobs(n))
            for n in self.calls
            if self.types[n.name].kind != "text"
        }

    @cached_property
    def reasks(self) -> int:
        """How often most typed steps ask again."""
        retries = [n.retry for n in self.calls if n.name in self.typed]
        return max(sorted(set(retries)), key=retries.count, default=1)

    def strict(self, node: Call) -> bool:
        """Whether the endpoint is asked to enforce the schema token by token."""
        schema = self.typed[node.name].schema
        return schema is None or schema.strict

    def kind(self, node: Call) -> str:
        """The class of a typed output, as the module names it."""
        return self.class_.get(node.name) or node.output.annotation

    def form_name(self, node: Call) -> str | None:
        """The name that the schema is sent under, when it is not the name of the class."""
        own = self.typed.get(node.name)
        return None if own is None or own.name == self.kind(node) else own.name

    def key(self, name: str, word: str) -> str:
        """The state's key for what the module itself must remember of a node."""
        found = f"{name}_{word}"
        while found in self.variable:
            found += "_"
        return found

    def logprobs(self, node: Call) -> bool:
        """Whether the confidence of a call comes from log-probabilities; else the model reports it."""
        return bool(node.confidence) and self.endpoints.asked_by(node).logprobs

    def nullable(self, name: str) -> bool:
        """Whether a node that ran may have left nothing."""
        node = self.graph.node(name)
        return getattr(node, "when", None) is not None or (isinstance(node, Call) and node.tolerant)

    def always(self, name: str, at: str, *, ran: bool = False) -> bool:
        """Whether `name` surely has a value when `at` begins; with `ran`, when it has ended."""
        if name in self.graph.inputs:
            return True
        if self.nullable(name):
            return False
        return name in self._before[at] or (ran and name == at)

    @cached_property
    def _before(self) -> dict[str, frozenset[str]]:
        """For each node, those that every way from the start leads through (its dominators)."""
        nodes = [n.name for n in self.graph.nodes]
        sources: dict[str, set[str]] = {n: set() for n in nodes}
        for source, target in self.graph.arrows():
            if target in sources:
                sources[target].add(source)
        first = self.graph.first
        through = {n: set(nodes) for n in nodes} | {first: {first}}
        changed = True
        while changed:
            changed = False
            for node in (n for n in nodes if n != first):
                ways = [through[s] for s in sources[node]]
                found = {node} | (set.intersection(*ways) if ways else set())
                changed = changed or found != through[node]
                through[node] = found
        return {n: frozenset(found - {n}) for n, found in through.items()}

    def reads(self, node: Node) -> list[str]:
        """The values of the state that a node's texts and expressions read, in their order."""
        found: list[str] = []
        for text in texts(node):
            found += sorted(templates.names(text))
        for source in expressions(node):
            found += sources.needs(source.strip())  # a step may be called as a builtin is
        return [n for n in dict.fromkeys(found) if n in self.variable and n not in self.constants]


def texts(node: Node) -> list[str]:
    """The templates of a node."""
    match node:
        case Call():
            return [m.text for m in node.messages]
        case Approve():
            return [node.question.text]
        case _:
            return []


def expressions(node: Node) -> list[str]:
    """The expressions of a node."""
    when = getattr(node, "when", None)
    own = [node.expression] if isinstance(node, Code) else []
    return [*([when] if when else []), *own]


def plan(
    graph: Graph,
    namespace: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
) -> Plan:
    """Everything there is to know, with the notebook's code collected.

    Raises:
        ExportError: names what cannot leave the notebook.
    """
    found = endpoints(graph, deployments, defaults.model, defaults.fallback)
    made = Plan(graph, namespace, defaults, found, Copied(namespace))
    user = f"%%{graph.pattern} {graph.name}"
    made.copied.take(graph.code, user)
    for node in made.calls:
        made.copied.take(sorted(annotation_names(node.output)), f"step {node.name!r}")
    made.copied.check()
    return made
