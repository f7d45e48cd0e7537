"""Plans the export of one graph: names, types, models, and which values may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from orchmagic.export import dependencies, naming
from orchmagic.export.endpoints import Endpoints, ModelsInUse
from orchmagic.export.notebook_code import Copied, is_constant
from orchmagic.graph.model import (
    REJECT,
    START,
    STOP,
    Approve,
    Branch,
    Call,
    Graph,
    Join,
    Limits,
    Node,
    Sub,
    Tools,
    sources,
    targets,
)
from orchmagic.graph.output_types import OutputType, camel, resolve, voted
from orchmagic.graph.resolution import CallDefaults


@dataclass
class ModuleFlags:
    """Settings that all graphs of a module share: the default of `reasks`, and the table of each set of tools."""

    reasks: int = 1
    tables: Mapping[tuple[str, ...], str] = field(default_factory=dict)


@dataclass
class GraphPlan:
    """The export plan of one graph.

    `prefix` begins the names of an inner graph and is empty for the outer one; `used` are the names of earlier
    graphs of the module; `inner` are the plans of the graphs that Sub nodes run, by node.
    """

    graph: Graph
    namespace: Mapping[str, object]
    defaults: CallDefaults
    endpoints: Endpoints
    copied: Copied
    asked: ModelsInUse
    prefix: str = ""
    used: frozenset[str] = frozenset()
    constants: Mapping[str, object] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    inner: dict[str, GraphPlan] = field(default_factory=dict)
    shared: ModuleFlags = field(default_factory=ModuleFlags)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The graph's inputs that are not constants of the module."""
        return tuple(n for n in self.graph.inputs if n not in self.constants)

    @cached_property
    def calls(self) -> list[Call]:
        """The steps that call a model."""
        return self.asked.calls

    @property
    def asks_models(self) -> bool:
        """Whether the graph, or an inner graph, calls a model."""
        return bool(self.calls) or any(p.asks_models for p in self.inner.values())

    @property
    def pauses(self) -> bool:
        """Whether the graph, or an inner graph, may wait for a person."""
        own = any(isinstance(n, Approve) or (isinstance(n, Tools) and n.approve) for n in self.graph.nodes)
        return own or any(p.pauses for p in self.inner.values())

    @cached_property
    def types(self) -> dict[str, OutputType]:
        """The output type of one reply of each call."""
        return {n.name: resolve(n.name, n.output, self.namespace, confidence=n.confidence) for n in self.calls}

    @cached_property
    def voted(self) -> dict[str, OutputType]:
        """The outcome type of each call with votes."""
        return {n.name: voted(self.types[n.name]) for n in self.calls if n.votes}

    @cached_property
    def variable(self) -> dict[str, str]:
        """The local variable of each value of the state and of each item."""
        called = {f"{f}_{word}" for f in self.function.values() for word in ("prompt", "question")}
        items = [n.each.item for n in self.graph.nodes if isinstance(n, Call | Sub) and n.each]
        own = dict.fromkeys([*self.inputs, *(n.name for n in self.graph.nodes), *items])
        return {**naming.local(own, called | set(self.graph.code)), **{n: n for n in self.of_run}}

    @cached_property
    def function(self) -> dict[str, str]:
        """The function name of each node."""
        known = [*self.graph.code, *self.used, self.build, self.result, self.seen]
        return naming.functions((n.name for n in self.graph.nodes), known, self.prefix)

    @cached_property
    def class_(self) -> dict[str, str]:
        """The class name of each output that needs a generated class."""
        own = [n.name for n in self.calls if self.types[n.name].kind in {"fields", "value"}]
        return naming.classes(own, [*self.graph.code, *self.constants, *self.used], self.prefix)

    @cached_property
    def votes_class(self) -> dict[str, str]:
        """The class name of each vote's outcome."""
        own = [f"{n}_votes" for n in self.voted]
        known = [*self.graph.code, *self.constants, *self.used, *self.class_.values()]
        return {name.removesuffix("_votes"): c for name, c in naming.classes(own, known, self.prefix).items()}

    def named(self, word: str) -> str:
        """Adds an inner graph's prefix to `word`: State -> HelpdeskState, MAX_STEPS -> HELPDESK_MAX_STEPS."""
        if not self.prefix:
            return word
        return f"{self.prefix.upper()}_{word}" if word.isupper() else camel(f"{self.prefix}_{word}")

    @property
    def build(self) -> str:
        """The name of the function that builds the graph."""
        return f"build_{self.prefix or 'graph'}"

    @property
    def result(self) -> str:
        """The name of the function that takes the result from the state."""
        return f"result_of_{self.prefix}" if self.prefix else "result"

    @property
    def seen(self) -> str:
        """The name of the function that converts a result to the class of its step."""
        return f"typed_{self.prefix}"

    def limit(self, name: str) -> str:
        """Returns the constant of a limit: the outer graph's if both limits are equal."""
        mine = getattr(self.graph.limits, name) == getattr(self.limits, name)
        return name.upper() if mine else self.named(name.upper())

    @cached_property
    def counted(self) -> frozenset[str]:
        """The nodes whose visits a branch, a ladder of models, a template or an expression reads."""
        links = [link for link in self.graph.links if isinstance(link, Branch)]
        arms = {link.source for link in links if any(a.limit is not None for a in link.arms)}
        ladders = {n.name for n in self.calls if n.ladder}
        sources = [e for n in self.graph.nodes for e in dependencies.expressions(n)] + [link.on for link in links]
        texts = [t for n in self.graph.nodes for t in dependencies.texts(n)]
        known = [n.name for n in self.graph.nodes] if "visits" in self.of_run else []
        read = dependencies.visited(sources, texts, known)
        return frozenset(arms | ladders | read)

    @cached_property
    def may_fail(self) -> bool:
        """Whether the state needs `errors`: a step may fail without ending the run, or `errors` is read."""
        fails = any(getattr(n, word, None) for n in self.graph.nodes for word in ("isolated", "each", "may_end"))
        return fails or self.reads_errors

    @cached_property
    def reads_errors(self) -> bool:
        """Whether a prompt or an expression reads `errors`."""
        read = [name for n in self.graph.nodes for name in dependencies.names(n)]
        read += [name for source in expressions_of(self.graph) for name in dependencies.needs(source)]
        return "errors" in self.of_run and "errors" in read

    @cached_property
    def typed(self) -> dict[str, OutputType]:
        """The type to request, for each call whose output is not text."""
        return {
            n.name: self.types[n.name].requested(self_report=n.self_reported and not self.logprobs(n))
            for n in self.calls
            if self.types[n.name].kind != "text"
        }

    def kind(self, node: Call) -> str:
        """Returns the class of a typed output, as source."""
        return self.class_.get(node.name) or node.output.annotation

    def form(self, node: Call) -> dict[str, object]:
        """Returns what differs from the default in the request's schema: another name, or not strict."""
        own = self.typed[node.name]
        name: dict[str, object] = {} if own.name == self.kind(node) else {"name": own.name}
        return name if own.schema is None or own.schema.strict else {**name, "strict": False}

    @cached_property
    def of_run(self) -> tuple[str, ...]:
        """The names that every prompt and expression may read of the run, besides inputs and steps."""
        return tuple(n for n in dependencies.ALWAYS if n not in self.graph.inputs)

    @cached_property
    def errors(self) -> str:
        """The state's key of why steps failed."""
        return "errors" if "errors" in self.of_run else self.key("run", "errors")

    def key(self, name: str, word: str) -> str:
        """Returns a free key of the state for internal data of a node, such as its visits."""
        found = f"{name}_{word}"
        while found in self.variable:
            found += "_"
        return found

    def fallback(self, node: Call) -> tuple[str, ...]:
        """Returns the fallback models of a call."""
        return self.asked.defaults.fallbacks(node)

    def sure(self, node: Call) -> bool:
        """Whether the value has a confidence that is no part of the reply: measured, or unknown."""
        return bool(self.types[node.name].confidence) and (self.logprobs(node) or not node.self_reported)

    def has_tool_timeout(self, node: Tools) -> bool:
        """Whether the tools of a node have a time limit of their own."""
        return node.timeout is not None or self.asked.defaults.timeout_of(node) != self.defaults.timeout

    @property
    def may_end_early(self) -> bool:
        """Whether a person may reject a value in the graph or in an inner one, or a check may stop it."""
        own = any(isinstance(link, Branch) and link.otherwise in {REJECT, STOP} for link in self.graph.links)
        return own or any(p.may_end_early for p in self.inner.values())

    def ends_at(self, node: Node) -> bool:
        """Whether the outer run may end at this node, because its inner graph ended early; the state then says so.

        Not where several nodes meet in a Join, which waits for all of them: there the inner graph's error is raised.
        """
        if self.prefix or not isinstance(node, Sub) or node.may_end:
            return False
        return self.inner[node.name].may_end_early and not isinstance(self.graph.link(node.name), Join)

    def rejectable(self) -> list[str]:
        """Returns the approvals that end the run if a person rejects."""
        links = (link for link in self.graph.links if isinstance(link, Branch))
        return [link.source for link in links if link.otherwise == REJECT]

    def reasks(self, node: Call) -> int:
        """Returns how often a call is repeated if its reply does not fit."""
        return self.asked.defaults.reasks(node)

    def logprobs(self, node: Call) -> bool:
        """Whether a call has a confidence from log-probabilities and not from the model's own report."""
        return bool(node.confidence) and self.endpoints.deployments[self.asked.defaults.models(node)[0]].logprobs

    def nullable(self, name: str) -> bool:
        """Whether the value of a node that ran may be None."""
        node = self.graph.node(name)
        if getattr(node, "when", None) is not None or getattr(node, "isolated", False):
            return True
        if isinstance(node, Sub):
            return node.each is None
        return isinstance(node, Call) and node.tolerant and not node.each and not node.votes

    def always(self, name: str, at: str, *, ran: bool = False) -> bool:
        """Whether `name` always has a value when node `at` begins; with `ran`, when `at` has ended."""
        if name in self.graph.inputs:
            return True
        if self.nullable(name):
            return False
        return name in self._before[at] or (ran and name == at)

    @cached_property
    def _before(self) -> Mapping[str, frozenset[str]]:
        return _dominators(self.graph)

    def known(self, found: list[str]) -> list[str]:
        """Returns the names that a function must read from the state, without repetitions."""
        return [n for n in dict.fromkeys(found) if n in self.variable and n not in self.constants]

    def reads(self, node: Node) -> list[str]:
        """Returns the values of the state that a node's templates and expressions read, in order."""
        return self.known(dependencies.names(node))


def made_constant(graph: Graph, namespace: Mapping[str, object]) -> dict[str, object]:
    """Returns the inputs that become constants: an uppercase name and a literal value (PRODUCTS = ["disk"])."""
    named = {n: namespace.get(n) for n in graph.inputs if n.isupper() and n in namespace}
    return {n: v for n, v in named.items() if is_constant(v)}


def expressions_of(graph: Graph) -> list[str]:
    """Returns all expressions of a graph's nodes and branches."""
    own = [e for n in graph.nodes for e in dependencies.expressions(n)]
    return [*own, *(link.on for link in graph.links if isinstance(link, Branch))]


def _dominators(graph: Graph) -> Mapping[str, frozenset[str]]:
    """Returns the dominators of each node: the nodes on every path from the start to it.

    All sources of a Join dominate its target.
    """
    nodes = [n.name for n in graph.nodes]
    starts = set(graph.starts)
    sources, joined = _sources(graph, nodes)
    through = {n: set(nodes) for n in nodes} | {n: {n} for n in starts}
    changed = True
    while changed:
        changed = False
        for node in (n for n in nodes if n not in starts):
            ways = [through[s] for s in sources[node]] + [set().union(*(through[s] for s in j)) for j in joined[node]]
            found = {node} | (set.intersection(*ways) if ways else set())
            changed = changed or found != through[node]
            through[node] = found
    return {n: frozenset(found - {n}) for n, found in through.items()}


def _sources(graph: Graph, nodes: list[str]) -> tuple[dict[str, set[str]], dict[str, list[tuple[str, ...]]]]:
    """Returns, for each node, (its sources by single links, the source sets of its Joins)."""
    single: dict[str, set[str]] = {n: set() for n in nodes}
    joined: dict[str, list[tuple[str, ...]]] = {n: [] for n in nodes}
    for link in graph.links:
        if isinstance(link, Join):
            if link.target in joined:
                joined[link.target].append(link.sources)
            continue
        for target in targets(link):
            if target in single:
                single[target] |= set(sources(link)) - {START}
    return single, joined
