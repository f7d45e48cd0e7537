"""Assembles the module from blocks of source: drops unused blocks and adds the imports of the others."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from orchmagic.core import portable
from orchmagic.errors import ExportError
from orchmagic.export import (
    branches,
    build_graph,
    call_nodes,
    carried,
    classes,
    cli,
    endpoints,
    header,
    map_nodes,
    model_client,
    naming,
    node_functions,
    prompts,
    source_text,
    state,
    subgraphs,
    tool_functions,
)
from orchmagic.export.formatting import assigned, formatted, remarked
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.export.quoting import comment
from orchmagic.export.vendored import call_runtime, ending, fan_out, tool_runtime
from orchmagic.language.builtin_prompts import AGAIN, REASK

_MESSAGES = ["Messages: TypeAlias = list[dict[str, Any]]"]
_ROOTS = frozenset({"build_graph", "main"})


def assembled(whole: ModulePlan, *, served: bool = False) -> str:
    """Returns the module's source; `served` adds a function for LangGraph's server.

    Raises:
        ExportError: something cannot be exported.
    """
    sections = _sections(whole)
    whole.copied.check()  # again: building the sections may have recorded problems
    kept = _kept([block for _, blocks in sections for block in blocks], _ROOTS | {"serve"} if served else _ROOTS)
    body = "\n\n\n".join(text for title, blocks in sections if (text := _section(title, blocks, kept)))
    body += '\n\n\nif __name__ == "__main__":\n    main()\n'
    head = "\n".join(header.header(whole))
    gap = "\n\n" if _is_constant(body) else "\n\n\n"
    return header.sealed(formatted(f"{head}\n\n{_imports(body, whole.copied.imports)}{gap}{body}"))


def _sections(whole: ModulePlan) -> list[tuple[str, list[str]]]:
    """Returns all possible blocks as (section title, blocks), in the order of the module."""
    arguments = classes.arguments(whole)  # first: it may copy more notebook code
    plans, outer = whole.plans, whole.outer
    asks = dict(carried.definitions(call_runtime))
    head, lone = asks.pop("Model"), asks.pop("Lone")
    replies = dict(carried.definitions(portable))
    merge = replies.pop("append_messages")  # the state class names it
    first_usable = [model_client.first_usable(whole)] if whole.calls else []
    types = [block for plan in plans for block in (*classes.outputs(plan), *classes.sure(plan), *classes.votes(plan))]
    return [
        ("", [head]),
        ("", ["\n".join(lines) for lines in _constants(whole)]),
        ("Prompts: what each step asks", [block for plan in plans for block in prompts.prompts(plan)]),
        ("From the notebook", whole.copied.blocks),
        ("Types: what each step returns", [lone, *types]),
        ("State", [merge, *(state.state(plan) for plan in plans)]),
        ("Replies and failures, as in the notebook", [*replies.values()]),
        ("Asking models", [*asks.values(), *first_usable]),
        ("Tools", [*arguments, *tool_functions.tables(whole), *carried.definitions(tool_runtime).values()]),
        ("How a run may end", [*carried.definitions(ending).values()]),
        ("Side by side", [*carried.definitions(fan_out).values()]),
        ("Nodes", node_functions.nodes(outer)),
        ("Graph", [*branches.choosers(outer), build_graph.build(outer), build_graph.serve()]),
        *((f"The inner graph {plan.graph.name}", _inside(plan)) for plan in plans[1:]),
        ("Command line", [subgraphs.result(outer), cli.run(whole), cli.answered(whole), cli.main(outer)]),
    ]


def _inside(plan: GraphPlan) -> list[str]:
    """Returns the blocks of an inner graph: result, nodes, branches, graph."""
    return [
        subgraphs.result(plan),
        *subgraphs.seen(plan),
        *node_functions.nodes(plan),
        *branches.choosers(plan),
        build_graph.build(plan),
    ]


def _constants(whole: ModulePlan) -> list[list[str]]:
    """Returns the constants as lists of lines: first the tunable ones, then texts for the model."""
    outer, seconds = whole.outer, whole.defaults.timeout
    lines = endpoints.constants(whole.endpoints, whole.defaults.max_tokens) if whole.calls else []
    lines += [
        *(row for plan in whole.plans for row in call_nodes.ladders(plan)),
        remarked([f"TIMEOUT = {seconds!r}"], "seconds to wait for an endpoint"),
        remarked([f"RETRIES = {whole.defaults.retries}"], "attempts after a failed one"),
        remarked([f"REASKS = {whole.reasks}"], "most further calls for a reply that does not fit"),
        *(row for plan in whole.plans for row in _limits(plan)),
        remarked([f"DEADLINE = {outer.graph.limits.deadline!r}"], "seconds, when `run` runs the graph"),
        *tool_functions.limits(whole),
        *(row for plan in whole.plans for row in (*call_nodes.tuned(plan), *map_nodes.constants(plan))),
        *(assigned(name, value) for name, value in outer.constants.items()),
        *(row for plan in whole.plans for row in node_functions.checks(plan)),
    ]
    lines = [list(found) for found in dict.fromkeys(map(tuple, lines))]  # graphs may share a limit
    texts = [assigned("REASK", REASK), assigned("AGAIN", AGAIN), *tool_functions.instruction(whole)]
    return [*lines, *texts, ["logger = logging.getLogger(__name__)"], _MESSAGES, [tool_functions.ALIAS]]


def _limits(plan: GraphPlan) -> list[list[str]]:
    limits = plan.graph.limits
    whose = plan.graph.name if plan.prefix and plan.limit("max_steps") != "MAX_STEPS" else "a run"
    return [
        *branches.limits(plan),
        remarked([f"{plan.limit('concurrency')} = {limits.concurrency}"], "items at once"),
        remarked(
            [f"{plan.limit('max_steps')} = {limits.supersteps}"],
            f"of {whose}, expressions too",
        ),
    ]


def _kept(blocks: Sequence[str], roots: Iterable[str]) -> set[str]:
    """Returns the names that the roots need, directly or indirectly."""
    found = {block: (_defined(block), source_text.needs(block)) for block in blocks}
    by_name: dict[str, str] = {}
    for block, (defined, _) in found.items():
        for name in sorted(defined):
            if by_name.setdefault(name, block) != block:
                raise ExportError(f"the module needs {name!r} for itself: rename that step, input or function")
    kept: set[str] = set()
    wanted = sorted(roots)
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in kept:
            kept.add(name)
            wanted += found[by_name[name]][1]
    return kept


def _defined(block: str) -> set[str]:
    return {name for node in ast.parse(block).body if (name := source_text.defined(node))}


def _section(title: str, blocks: Iterable[str], kept: set[str]) -> str:
    """Joins the blocks that define a kept name: constants without blank lines, all else two blank lines apart."""
    stay = [b for b in blocks if _defined(b) & kept]
    groups = [(constant, list(group)) for constant, group in groupby(stay, key=_is_constant)]
    texts = [("\n" if constant else "\n\n\n").join(group) for constant, group in groups]
    text = "\n\n\n".join(texts)
    return f"# {comment(title)}\n\n\n{text}" if text and title else text


def _is_constant(block: str) -> bool:
    return isinstance(ast.parse(block).body[0], ast.Assign | ast.AnnAssign)


def _imports(body: str, copied: Mapping[str, tuple[str, str]]) -> str:
    """Returns the imports that the body needs, one name per line; ruff merges those of one module."""
    known = {name: (place, name) if place else (name, "") for name, place in naming.IMPORTS.items()} | dict(copied)
    return "\n".join(sorted(_import(name, *known[name]) for name in source_text.needs(body) if name in known))


def _import(name: str, module: str, own: str) -> str:
    said = f"from {module} import {own}" if own else f"import {module}"
    return said if name in {own, module} else f"{said} as {name}"
