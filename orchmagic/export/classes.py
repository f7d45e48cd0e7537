"""Generates the Pydantic classes of a module: the outputs of its steps and the arguments of its tools."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping

from orchmagic.export import expression_source, source_text
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.export.quoting import literal
from orchmagic.graph.model import Call
from orchmagic.graph.output_types import camel
from orchmagic.graph.standard_types import STANDARD_TYPES, standard_names


def outputs(plan: GraphPlan) -> list[str]:
    """Returns a class for each output that is not a class of the notebook."""
    blocks = []
    for node in plan.calls:
        if node.name not in plan.class_:
            continue
        fields = [(f.name, f.annotation) for f in node.output.fields] or [("value", node.output.annotation)]
        if plan.types[node.name].confidence and node.self_reported and not plan.logprobs(node):
            fields.append(("confidence", "Annotated[float, Field(ge=0, le=1)]"))
        user, rename = f"step {node.name!r}", _reply_types(plan)
        rows = [row for name, kind in fields for row in _field(plan, user, name, kind, rename=rename)]
        base = "BaseModel" if plan.types[node.name].kind == "fields" else "Lone"
        blocks.append(_class(plan.class_[node.name], camel(node.name), rows, base))
    return blocks


def sure(plan: GraphPlan) -> list[str]:
    """Returns, for confidence that is no part of the reply, the class that later steps see."""
    return [
        f"class Sure{plan.class_[n.name]}({plan.class_[n.name]}):\n    confidence: float | None = None"
        for n in plan.calls
        if plan.sure(n)
    ]


def votes(plan: GraphPlan) -> list[str]:
    """Returns the class of each vote's outcome: the winner's fields with agreement, dissent, tie and decided."""
    blocks = []
    for name, title in plan.votes_class.items():
        node = plan.graph.node(name)
        assert isinstance(node, Call)
        kind = plan.types[name].kind
        base = "BaseModel"
        value: list[str] = []
        if kind == "fields":
            base = f"Sure{plan.class_[name]}" if plan.sure(node) else plan.class_[name]
        else:
            written = "str" if kind == "text" else node.output.annotation
            value = [f"    value: {ast.unparse(expression_source.read(written, _reply_types(plan)))}"]
        told = ["    agreement: float", "    dissent: list[Any]", "    tie: bool", "    decided: bool"]
        blocks.append("\n".join([f"class {title}({base}):", *value, *told]))
    return blocks


def arguments(whole: ModulePlan) -> list[str]:
    """Returns a class for the arguments of each tool, from its signature."""
    plan, blocks = whole.outer, []
    for name, title in whole.arguments.items():
        function = _definition(plan, name)
        if function is not None:
            rows = [row for part in _parameters(function) for row in _field(plan, f"tool {name!r}", *part)]
            blocks.append(_class(title, camel(name), rows))
    return blocks


def _class(name: str, title: str, rows: Iterable[str], base: str = "BaseModel") -> str:
    config = 'extra="forbid"' if name == title else f'extra="forbid", title={literal(title)}'
    found = list(rows)
    body = ["", *found] if found else []
    return "\n".join([f"class {name}({base}):", f"    model_config = ConfigDict({config})", *body])


def _field(
    plan: GraphPlan,
    user: str,
    name: str,
    kind: str,
    default: str | None = None,
    rename: Mapping[str, str] | None = None,
) -> list[str]:
    from pydantic import BaseModel  # noqa: PLC0415 - heavy

    if hasattr(BaseModel, name):
        plan.copied.problem(f"{user} has a field {name!r}, which would hide a method of Pydantic's: rename it")
    after = "" if default is None else f" = {default}"
    return [f"    {name}: {ast.unparse(expression_source.read(kind, rename))}{after}"]


def _reply_types(plan: GraphPlan) -> dict[str, str]:
    """Maps each name in outputs that means a standard library class to the type that validates it in a reply."""
    return {name: STANDARD_TYPES[name].reply for name in standard_names(plan.namespace)}


def _definition(plan: GraphPlan, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    found = plan.namespace[name]
    source = source_text.of_function(found)
    tree = ast.parse(source).body[0] if source else None
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        plan.copied.problem(f"the source of tool {name!r} is not known: define it in a cell")
        return None
    written = [a.annotation for a in (*tree.args.args, *tree.args.kwonlyargs) if a.annotation]
    wanted = {n for a in written for n in source_text.needs(ast.unparse(_unquoted(a)))}
    inner = inspect.unwrap(found)  # type: ignore[arg-type]  # a tool is a function, checked when the cell was read
    plan.copied.take(sorted(wanted), f"tool {name!r}", getattr(inner, "__globals__", {}))
    return tree


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str, str | None]]:
    """Returns (name, annotation, default) of each parameter, as source."""
    positional = function.args.args
    missing = len(positional) - len(function.args.defaults)
    defaults = [*[None] * missing, *function.args.defaults, *function.args.kw_defaults]
    return [
        (a.arg, ast.unparse(_unquoted(a.annotation)) if a.annotation else "Any", ast.unparse(d) if d else None)
        for a, d in zip([*positional, *function.args.kwonlyargs], defaults, strict=True)
    ]


def _unquoted(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation
