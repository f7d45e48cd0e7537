"""Makes stand-ins for what code defines, from its text: nothing of it is run or imported."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from types import ModuleType
from typing import Any, Literal

from pydantic import create_model

from orchmagic.runtime.tools import tool

_TYPES: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "set": set, "tuple": tuple,
}  # fmt: skip


def of_code(source: str) -> dict[str, object]:
    """Maps the names that Python code defines at its top level to stand-ins; values that are no literals are left out.

    Raises:
        SyntaxError: the text is no Python.
    """
    found: dict[str, object] = {}
    for node in ast.parse(source).body:
        found |= dict(_defined(node))
    return found


def _defined(node: ast.stmt) -> Iterator[tuple[str, object]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name, _function(node)
        case ast.ClassDef():
            yield node.name, _class(node)
        case ast.Import():
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield name, ModuleType(name)
        case ast.ImportFrom():
            for alias in node.names:
                yield alias.asname or alias.name, _imported(alias.asname or alias.name)
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            with suppress(ValueError, TypeError, SyntaxError):
                yield name, ast.literal_eval(value) if value is not None else None
        case ast.With(body=body) | ast.If(body=body) | ast.Try(body=body):
            for inner in body:
                yield from _defined(inner)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Callable[..., object]:
    """Returns a function of the same name, parameters and type hints; hints that are no plain types become text."""
    arguments = node.args
    with_defaults = len(arguments.args) - len(arguments.defaults)
    parameters = [
        _parameter(a, inspect.Parameter.POSITIONAL_OR_KEYWORD, optional=i >= with_defaults)
        for i, a in enumerate((*arguments.posonlyargs, *arguments.args))
    ]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters += [_parameter(a, inspect.Parameter.KEYWORD_ONLY, optional=d is not None) for a, d in pairs]
    function = _named(node.name, parameters)
    function.__doc__ = ast.get_docstring(node)
    return tool(writes=True)(function) if any(map(_marks_writes, node.decorator_list)) else function


def _imported(name: str) -> object:
    """Returns a stand-in for an imported name: what it is cannot be told, a function of one text fits most uses."""
    if name in _TYPES or name == "Literal":
        return Literal if name == "Literal" else _TYPES[name]
    return _named(name, [inspect.Parameter("text", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=str)])


def _named(name: str, parameters: list[inspect.Parameter]) -> Callable[..., object]:
    def stand_in(*_: object, **__: object) -> object:
        raise RuntimeError(f"{name} is a stand-in and runs nothing")

    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__annotations__ = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions have no such field
    return stand_in


def _parameter(argument: ast.arg, kind: Any, *, optional: bool) -> inspect.Parameter:
    hint = inspect.Parameter.empty if argument.annotation is None else _type(argument.annotation, str)
    return inspect.Parameter(
        argument.arg, kind, annotation=hint, default=None if optional else inspect.Parameter.empty
    )  # fmt: skip


def _type(node: ast.expr, otherwise: Any) -> Any:
    """Returns the type of an annotation, as far as it is a plain one; of `list[Ticket]` it is `list`."""
    if isinstance(node, ast.Subscript):
        return _type(node.value, otherwise)
    return _TYPES.get(node.id, otherwise) if isinstance(node, ast.Name) else otherwise


def _marks_writes(decorator: ast.expr) -> bool:
    """Whether a decorator is `tool(writes=True)`."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func).rpartition(".")[2] != "tool":
        return False
    return any(k.arg == "writes" and ast.unparse(k.value) == "True" for k in decorator.keywords)


def _class(node: ast.ClassDef) -> type:
    """Returns a class with the same fields, or an Enum with the same members."""
    if any("Enum" in ast.unparse(base) for base in node.bases):
        members = {
            target.id: item.value.value
            for item in node.body
            if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
            for target in item.targets
            if isinstance(target, ast.Name)
        }
        return Enum(node.name, members)  # type: ignore[return-value]  # the functional form gives a class
    fields: dict[str, Any] = {
        item.target.id: (_type(item.annotation, Any), ... if item.value is None else None)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    made: type = create_model(node.name, **fields)
    return made
