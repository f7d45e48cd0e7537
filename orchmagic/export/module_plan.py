"""Plans the export of a module: the outer graph and all inner graphs, each once, and the code that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from orchmagic.errors import InputError
from orchmagic.export import dependencies, naming
from orchmagic.export.endpoints import Endpoints, ModelsInUse, endpoints
from orchmagic.export.graph_plan import GraphPlan, expressions_of, made_constant
from orchmagic.export.notebook_code import Copied
from orchmagic.graph import standard_types
from orchmagic.graph.functions import FUNCTIONS, STAYS
from orchmagic.graph.model import Call, Graph, Sub, Tools
from orchmagic.graph.resolution import CallDefaults
from orchmagic.graph.standard_types import STANDARD_TYPES, standard_classes, standard_names
from orchmagic.language.annotations import annotation_names
from orchmagic.models import images
from orchmagic.models.types import Deployment, Pool


@dataclass
class ModulePlan:
    """The plan of a module. `plans` begins with the outer graph; an inner graph follows the first one that uses it."""

    plans: list[GraphPlan]
    defaults: CallDefaults
    endpoints: Endpoints
    copied: Copied

    @property
    def outer(self) -> GraphPlan:
        """The graph that was exported."""
        return self.plans[0]

    @cached_property
    def calls(self) -> list[tuple[GraphPlan, Call]]:
        """All steps that call a model."""
        return [(plan, node) for plan in self.plans for node in plan.calls]

    @cached_property
    def agents(self) -> list[tuple[GraphPlan, Tools]]:
        """All nodes that run tools."""
        return [(plan, node) for plan in self.plans for node in plan.graph.nodes if isinstance(node, Tools)]

    @cached_property
    def typed(self) -> list[tuple[GraphPlan, Call]]:
        """The calls whose output is not text."""
        return [(plan, node) for plan, node in self.calls if node.name in plan.typed]

    @cached_property
    def reasks(self) -> int:
        """The most frequent `retry` of typed steps."""
        retries = [plan.reasks(node) for plan, node in self.typed]
        return max(sorted(set(retries)), key=retries.count, default=1)

    @cached_property
    def actions(self) -> bool:
        """Whether a model without tool calls is called with tools, so that it needs JSON actions."""
        asked = any(node.tools for _, node in self.calls)
        return asked and any(d.tools == "json" for d in self.endpoints.deployments.values())

    @cached_property
    def tells_schemas(self) -> bool:
        """Whether an endpoint that refuses a schema beside tools is sent both, so that the schema is told in words."""
        asked = any(node.tools for _, node in self.typed)
        return asked and not all(d.schemas_with_tools for d in self.endpoints.deployments.values())

    @cached_property
    def logprobs(self) -> bool:
        """Whether any confidence comes from log-probabilities."""
        return any(plan.logprobs(node) for plan, node in self.calls)

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The class name of each tool's arguments."""
        tools = [t for _, node in self.agents for t in node.tools]
        used = [name for plan in self.plans for name in (*plan.graph.code, *_taken(plan))]
        return naming.classes(dict.fromkeys(tools), used)

    @cached_property
    def tables(self) -> dict[tuple[str, ...], str]:
        """The constant of each set of tools; the first one is TOOLS."""
        found: dict[tuple[str, ...], str] = {}
        for plan, node in self.agents:
            own = plan.function[node.name].upper()
            name = own if own.endswith("_TOOLS") else f"{own}_TOOLS"
            found.setdefault(node.tools, name if found else "TOOLS")
        return found


def _taken(plan: GraphPlan) -> Iterator[str]:
    """Yields the names that a graph uses in the module."""
    for function in plan.function.values():
        yield from naming.derived(function)
    yield from (*plan.class_.values(), *plan.votes_class.values())
    if plan.prefix:
        yield from (plan.prefix, plan.build, plan.named("State"), plan.result, plan.seen)


def whole(
    graph: Graph,
    namespace: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
    *,
    thread: str | None = None,
    pool: Callable[[str], Pool | None] = lambda _: None,
) -> ModulePlan:
    """Plans the module and collects the notebook's code for it.

    Raises:
        ExportError: lists everything that cannot be exported.
    """
    graphs = list(dict.fromkeys(_graphs(graph, defaults)))
    found = endpoints(graphs, deployments, pool)
    outer = GraphPlan(graph, namespace, defaults, found, Copied(namespace), graphs[0])
    constants = made_constant(graph, namespace)
    given = {name for asked in graphs for sub in _subs(asked.graph) for name, _ in sub.given}
    plans: dict[ModelsInUse, GraphPlan] = {}
    for asked in graphs:
        used = frozenset(name for plan in plans.values() for name in _taken(plan))
        known = {"graph"} | {plan.prefix for plan in plans.values()}  # "graph" is reserved for the outer `build_graph`
        plans[asked] = replace(
            outer,
            graph=asked.graph,
            asked=asked,
            prefix=naming.prefix(asked.graph.name.removeprefix(f"{graph.name}."), known) if plans else "",
            used=used,
            constants={n: v for n, v in constants.items() if not plans or n not in given},
            limits=graph.limits,
            inner={},
        )
    for asked, plan in plans.items():
        plan.inner |= {
            sub.name: plans[ModelsInUse(sub.graph, asked.defaults.within(sub.graph))] for sub in _subs(asked.graph)
        }
    made = ModulePlan(list(plans.values()), defaults, found, outer.copied)
    outer.shared.reasks, outer.shared.tables = made.reasks, made.tables
    _take(made)
    if thread is not None:
        made.copied.left.append(f"the conversation {thread!r} (`--thread`): a run does not know of earlier ones")
    return made


def _graphs(graph: Graph, defaults: CallDefaults) -> Iterator[ModelsInUse]:
    """Yields a graph and its inner graphs with their call defaults, which they inherit from the outer graph."""
    asked = ModelsInUse(graph, defaults.within(graph))
    yield asked
    for sub in _subs(graph):
        yield from _graphs(sub.graph, asked.defaults)


def _subs(graph: Graph) -> list[Sub]:
    return [n for n in graph.nodes if isinstance(n, Sub)]


def _take(made: ModulePlan) -> None:
    """Collects the notebook's code, and orchmagic's functions that expressions call."""
    copied = made.copied
    for name in made.outer.inputs:
        if _is_image(made.outer.namespace.get(name)):
            copied.problem(f"input {name!r} is an image, and modules send text: describe it in words in a step before")
    for plan in made.plans:
        graph = plan.graph
        user = f"%%{graph.pattern} {graph.name}"
        ours = {
            n for e in expressions_of(graph) for n in dependencies.needs(e) if n in FUNCTIONS and n not in graph.inputs
        }
        copied.take(graph.code, user, standard_classes())
        for name in sorted(ours - set(graph.code) - set(plan.variable)):
            if name in STAYS:
                copied.problem(f"{user} cannot leave the notebook: {STAYS[name]}")
                continue
            copied.take_ours([name], FUNCTIONS[name].__module__)
        for node in plan.calls:
            named = annotation_names(node.output)
            standard = standard_names(plan.namespace) & named
            copied.take(sorted(named - standard), f"step {node.name!r}")
            copied.take_ours((STANDARD_TYPES[n].reply for n in sorted(standard)), standard_types.__name__)
    copied.check()


def _is_image(value: object) -> bool:
    try:
        return images.encode(value) is not None or images.among(value)
    except InputError:  # an image, but in a form that cannot be sent
        return True
