"""From blocks to a module: what nothing needs is left out, imports are what the rest uses."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from orchmagic.errors import ExportError
from orchmagic.export import (
    branches,
    build_graph,
    call_nodes,
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
from orchmagic.export.formatting import assigned, fits, remarked
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.export.vendored import call_runtime, fan_out

_ERRORS = ("UnusableReplyError", "UnfitReplyError")
_PARTS = ("usable", "read_reply", "wrong_with", "how_sure", "rebuilt", "as_json", "as_text")
_TOGETHER = ("for_each", "voted", "ballot", "isolated")
_MESSAGES = ["Messages: TypeAlias = list[dict[str, Any]]"]
_ROOTS = frozenset({"build_graph", "main"})


def assembled(whole: ModulePlan, *, served: bool = False) -> str:
    """The module's text; `served`: with a function for LangGraph's server.

    Raises:
        ExportError: something cannot be said in a module.
    """
    sections = _sections(whole)
    whole.copied.check()  # again: every section may have met a problem
    kept = _kept([block for _, blocks in sections for block in blocks], _ROOTS | {"serve"} if served else _ROOTS)
    body = "\n\n\n".join(text for title, blocks in sections if (text := _section(title, blocks, kept)))
    body += '\n\n\nif __name__ == "__main__":\n    main()\n'
    head = "\n".join(header.header(whole))
    gap = "\n\n" if _is_constant(body) else "\n\n\n"
    return header.sealed(f"{head}\n\n{_imports(body, whole.copied.imports)}{gap}{body}")


def _sections(whole: ModulePlan) -> list[tuple[str, list[str]]]:
    """All blocks that a module may have, in reading order, by section."""
    arguments = classes.arguments(whole)  # first: it may take code along
    plans, outer = whole.plans, whole.outer
    asks = model_client.asking(whole) if whole.calls else []
    types = [block for plan in plans for block in (*classes.outputs(plan), *classes.sure(plan), *classes.votes(plan))]
    return [
        ("", [model_client.model_class(whole)] if whole.calls else []),
        ("", ["\n".join(lines) for lines in _constants(whole)]),
        ("Prompts: what each step asks", [block for plan in plans for block in prompts.prompts(plan)]),
        ("From the notebook", whole.copied.blocks),
        ("Types: what each step returns", [*types, *model_client.loose(whole)]),
        ("State", [state.state(plan) for plan in plans]),
        ("Asking models", [*map(_part, _ERRORS), *asks, *map(_part, _PARTS)]),
        ("Tools", [*arguments, *tool_functions.tools(whole)]),
        ("Side by side", [inspect.getsource(getattr(fan_out, name)).rstrip() for name in _TOGETHER]),
        ("Nodes", node_functions.nodes(outer)),
        ("Graph", [*branches.choosers(outer), build_graph.build(outer), build_graph.serve()]),
        *((f"The inner graph {plan.graph.name}", _inside(plan)) for plan in plans[1:]),
        ("Command line", [cli.result(outer), cli.run(outer), cli.answered(whole), cli.main(outer)]),
    ]


def _inside(plan: GraphPlan) -> list[str]:
    """An inner graph: what it returns, its nodes, how they are linked."""
    return [
        subgraphs.result(plan),
        *subgraphs.seen(plan),
        *node_functions.nodes(plan),
        *branches.choosers(plan),
        build_graph.build(plan),
    ]


def _constants(whole: ModulePlan) -> list[list[str]]:
    """What a reader may want to tune, then what the module says in words."""
    outer, seconds = whole.outer, whole.defaults.timeout
    lines = endpoints.constants(whole.endpoints, whole.defaults.max_tokens) if whole.calls else []
    lines += [
        *(row for plan in whole.plans for row in call_nodes.ladders(plan)),
        remarked([f"TIMEOUT = {seconds!r}"], "seconds to wait for an endpoint"),
        remarked([f"RETRIES = {whole.defaults.retries}"], "attempts after a failed one"),
        remarked([f"REASKS = {whole.reasks}"], "how often a reply that does not fit is asked again"),
        *(row for plan in whole.plans for row in _limits(plan)),
        remarked([f"DEADLINE = {outer.graph.limits.deadline!r}"], "seconds, when `run` runs the graph"),
        *tool_functions.limits(whole),
        *(row for plan in whole.plans for row in (*call_nodes.tuned(plan), *map_nodes.constants(plan))),
        *(assigned(name, value) for name, value in outer.constants.items()),
        *(row for plan in whole.plans for row in node_functions.checks(plan)),
    ]
    lines = [list(found) for found in dict.fromkeys(map(tuple, lines))]  # graphs may share a limit
    words = [block.split("\n") for block in model_client.words()]
    told = [*words, *tool_functions.instruction(whole)]
    return [*lines, *told, ["logger = logging.getLogger(__name__)"], _MESSAGES, [tool_functions.ALIAS]]


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


def _part(name: str) -> str:
    return inspect.getsource(getattr(call_runtime, name)).rstrip()


def _kept(blocks: Sequence[str], roots: Iterable[str]) -> set[str]:
    """The names that are reached from the roots."""
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
    found: set[str] = set()
    for node in ast.parse(block).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def _section(title: str, blocks: Iterable[str], kept: set[str]) -> str:
    """The blocks that stay; constants stand together, all else two lines apart."""
    stay = [b for b in blocks if _defined(b) & kept]
    groups = [(constant, list(group)) for constant, group in groupby(stay, key=_is_constant)]
    texts = [("\n" if constant else "\n\n\n").join(group) for constant, group in groups]
    text = "\n\n\n".join(texts)
    return f"# {title}\n\n\n{text}" if text and title else text


def _is_constant(block: str) -> bool:
    return isinstance(ast.parse(block).body[0], ast.Assign | ast.AnnAssign)


def _imports(body: str, copied: Mapping[str, tuple[str, str]]) -> str:
    """The import block that the body needs, sorted as the linters want it."""
    wanted = [n for n in source_text.needs(body) if n in copied or n in naming.IMPORTS]
    plain: list[tuple[str, str]] = []
    from_: list[tuple[str, str, str]] = []
    for name in wanted:
        module, own = copied.get(name) or ((naming.IMPORTS[name], name) if naming.IMPORTS[name] else (name, ""))
        if own:
            from_.append((module, own, name))
        else:
            plain.append((module, name))
    both = [_ordered(plain, from_, standard=standard) for standard in (True, False)]
    return "\n\n".join("\n".join(lines) for lines in both if lines)


def _ordered(plain: Iterable[tuple[str, str]], from_: Iterable[tuple[str, str, str]], *, standard: bool) -> list[str]:
    def here(module: str) -> bool:
        return (module.split(".", maxsplit=1)[0] in sys.stdlib_module_names) == standard

    lines = [
        f"import {module}" if module == name else f"import {module} as {name}"
        for module, name in sorted(plain, key=lambda p: (p[0].lower(), p[1]))
        if here(module)
    ]
    mine = sorted((f for f in from_ if here(f[0])), key=lambda f: (f[0].lower(), f[1] != f[2], _rank(f[1])))
    for (module, renamed), group in groupby(mine, key=lambda f: (f[0], f[1] != f[2])):
        if renamed:
            lines += [f"from {module} import {own} as {name}" for _, own, name in group]
        else:
            lines += _from(module, [own for _, own, _ in group])
    return lines


def _rank(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


def _from(module: str, found: Sequence[str]) -> list[str]:
    line = f"from {module} import {', '.join(found)}"
    return [line] if fits(line) else [f"from {module} import (", *(f"    {n}," for n in found), ")"]
