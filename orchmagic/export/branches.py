"""Generates a function per Branch that returns the next node, and its limits as constants."""

from __future__ import annotations

import ast
from typing import TypeGuard

from orchmagic.export import expression_source, source_text, state
from orchmagic.export.formatting import assigned, fits, remarked, texts
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.graph.model import CAP, END, FAIL, REJECT, STOP, Arm, Branch, Edge, Link


def choosers(plan: GraphPlan) -> list[str]:
    """Returns the source of one function per branch."""
    found = [_chooser(plan, link) for link in plan.graph.links if isinstance(link, Branch)]
    found += [_after(plan, link) for link in plan.graph.links if may_end(link, plan)]
    return ["\n".join(lines) for lines in found]


def may_end(link: Link, plan: GraphPlan) -> TypeGuard[Edge]:
    """Whether the link is an Edge that is not taken if the inner graph before it ended early."""
    return isinstance(link, Edge) and link.target != END and plan.ends_at(plan.graph.node(link.source))


def _after(plan: GraphPlan, link: Edge) -> list[str]:
    return [
        f"def after_{plan.function[link.source]}(state: {plan.named('State')}) -> str:",
        summary(f"Go on after {link.source}, unless the run ended in it."),
        f'    return END if state.get("{plan.key("run", "ended")}") else {target(link.target)}',
    ]


def limits(plan: GraphPlan) -> list[list[str]]:
    """Returns the constants of branches: the most times an arm is taken, and the labels of a route."""
    found = [
        remarked([f"{_limit_name(plan, link, arm)} = {arm.limit}"], f"times that {link.source} may send back")
        for link in plan.graph.links
        if isinstance(link, Branch)
        for arm in link.arms
        if arm.limit is not None and not _is_iteration(plan, arm)
    ]
    if any(_is_iteration(plan, a) for n in plan.graph.links if isinstance(n, Branch) for a in n.arms):
        most = [f"{plan.limit('max_iterations')} = {plan.graph.limits.max_iterations}"]
        found.insert(0, remarked(most, "rounds of a loop; then the run ends with what it has"))
    routes = [link for link in plan.graph.links if isinstance(link, Branch) and is_route(link)]
    return [*found, *(assigned(_labels(plan, link), [a.label for a in link.arms]) for link in routes)]


def _is_iteration(plan: GraphPlan, arm: Arm) -> bool:
    """Whether the arm's limit is the graph's `max_iterations`, or one less (the last visit must end the run)."""
    most = plan.graph.limits.max_iterations
    return arm.limit in {most, most - 1}


def _limit_name(plan: GraphPlan, link: Branch, arm: Arm) -> str:
    word = arm.target if arm.target in plan.function else "end"
    return f"{plan.function[link.source].upper()}_TO_{word.upper()}"


def _labels(plan: GraphPlan, link: Branch) -> str:
    return f"{plan.function[link.source].upper()}_LABELS"


def is_route(link: Branch) -> bool:
    """Whether every label is the name of its target."""
    return all(isinstance(a.label, str) and a.label == a.target and a.limit is None for a in link.arms)


def _chooser(plan: GraphPlan, link: Branch) -> list[str]:
    threaded = expression_source.threaded(plan, link.on)
    waits = any(isinstance(n, ast.Await) for n in ast.walk(threaded))
    name = plan.function[link.source]
    head = f"{'async ' if waits else ''}def after_{name}(state: {plan.named('State')}) -> str:"
    known = plan.known(source_text.needs(link.on.strip()))
    lines = [head, summary(f"Choose where the run goes after {link.source}.")]
    if plan.ends_at(plan.graph.node(link.source)):
        lines += [f'    if state.get("{plan.key("run", "ended")}"):', "        return END"]
    lines += [row for n in known for row in state.local(plan, n, link.source, ran=True)]
    chosen, test = _test(threaded)
    lines += [f"    choice = {ast.unparse(threaded)}"] if chosen else []
    return [*lines, *_arms(plan, link, test), *_otherwise(plan, link)]


def _test(tree: ast.expr) -> tuple[bool, ast.expr]:
    """Returns whether the value needs a variable, and the expression to test; `bool(x)` becomes `x`."""
    if isinstance(tree, ast.Name):
        return False, tree
    match tree:
        case ast.Call(func=ast.Name(id="bool"), args=[only], keywords=[]):
            return False, only
    return True, ast.Name("choice")


def _arms(plan: GraphPlan, link: Branch, test: ast.expr) -> list[str]:
    if is_route(link):
        chosen = ast.unparse(test)
        return [f"    if {chosen} in {_labels(plan, link)}:", f"        return str({chosen})"]
    lines: list[str] = []
    done: set[str | bool] = set()
    may_be_none = _may_be_none(plan, link)
    for arm in link.arms:
        parts: list[str] = []
        if arm.label is False and may_be_none:
            parts.append(f"{ast.unparse(test)} is False")
        # after an unlimited arm for True, only False is left
        elif not isinstance(arm.label, bool) or (not arm.label) not in done:
            parts.append(_holds(test, arm))
        if arm.limit is None:
            done.add(arm.label)
        else:
            parts.append(_within(plan, link, arm))
        goes = f"return {target(arm.target)}"
        lines += [f"    if {' and '.join(parts)}:", f"        {goes}"] if parts else [f"    {goes}"]
    return lines


def _may_be_none(plan: GraphPlan, link: Branch) -> bool:
    """Whether the branch tests a check whose value may be None, because it was skipped or failed."""
    name = link.on.strip()
    return name in plan.function and plan.nullable(name)


def _holds(test: ast.expr, arm: Arm) -> str:
    if isinstance(arm.label, bool):
        return ast.unparse(test if arm.label else expression_source.opposite(test))
    return f"{ast.unparse(test)} == {literal(arm.label)}"


def _within(plan: GraphPlan, link: Branch, arm: Arm) -> str:
    visits = f'state["{plan.key(link.source, "visits")}"]'
    if not _is_iteration(plan, arm):
        return f"{visits} <= {_limit_name(plan, link, arm)}"
    sign = "<=" if arm.limit == plan.graph.limits.max_iterations else "<"
    return f"{visits} {sign} {plan.limit('max_iterations')}"


def target(name: str) -> str:
    """Returns the source of a link's target; REJECT, STOP and CAP become END: `result` says with what."""
    return "END" if name in {END, REJECT, STOP, CAP} else literal(name)


def raises(plan: GraphPlan, name: str) -> bool:
    """Whether the chooser raises an error at this target: a check failed, or the run ends without a result."""
    return name == FAIL or (name in {REJECT, STOP} and bool(plan.prefix))


def _otherwise(plan: GraphPlan, link: Branch) -> list[str]:
    """Returns the lines for the case that no arm matches; none if an arm always does."""
    free = {a.label for a in link.arms if a.limit is None}
    if {True, False} <= free and not _may_be_none(plan, link):
        return []
    why = link.why or f"{link.source} leads nowhere"
    if link.otherwise not in {FAIL, REJECT, STOP, CAP}:
        return [f"    return {target(link.otherwise)}"]
    return _ended(plan, link, why)


def _ended(plan: GraphPlan, link: Branch, why: str) -> list[str]:
    """Returns the lines that end the run. An inner graph raises, so that what waits for its result ends too."""
    if link.otherwise == FAIL:
        return _saying("    raise RuntimeError(", why)
    if link.otherwise == REJECT:
        lines = [f'    why = state.get("{plan.key(link.source, "why")}") or {literal(why)}']
        ends = ["    raise RejectedError(why)"] if plan.prefix else ['    logger.warning("rejected: %s", why)']
        return [*lines, *ends, *([] if plan.prefix else ["    return END"])]
    if link.otherwise == STOP and plan.prefix:
        return _saying("    raise StoppedError(", why)
    return [*_saying('    logger.warning("ended early: %s", ', why), "    return END"]


def _saying(before: str, why: str) -> list[str]:
    line = f"{before}{literal(why)})"
    return [line] if fits(line) else [*texts("    why = ", [why]), f"{before}why)"]
