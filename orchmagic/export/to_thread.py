"""Expressions that call the notebook's functions run in a thread, as in the notebook: none blocks the loop."""

from __future__ import annotations

import ast
import inspect

from orchmagic.export import dependencies, expression_source
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.language import expression


def threaded(plan: GraphPlan, source: str) -> ast.expr:
    """The expression with the module's names; awaited when it calls the notebook's code."""
    tree = expression_source.read(source, plan.variable)
    code = set(plan.graph.code)
    if not expression.called(source) & code:
        return tree
    match tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in code:
            if inspect.iscoroutinefunction(plan.namespace.get(name)):
                return ast.Await(tree)
            thread = ast.Attribute(ast.Name("asyncio"), "to_thread")
            return ast.Await(ast.Call(thread, [tree.func, *args], keywords))
    if any(inspect.iscoroutinefunction(plan.namespace.get(n)) for n in expression.called(source) & code):
        plan.copied.problem(f"`{source}` calls an async function inside a larger expression: give it a line of its own")
    return expression_source.read(f"await asyncio.to_thread(lambda: {ast.unparse(tree)})")


def json_of(plan: GraphPlan, source: str) -> str:
    """The function that makes JSON of the expression's value: the notebook's code may give a table."""
    return "as_json" if set(dependencies.needs(source)) & set(plan.graph.code) else "to_jsonable_python"
