"""Parses the text after `->`, a step's output declaration, into an `Output`. Quoted strings are labels, not types.

    (nothing), str          TEXT      free text
    score: float, why: str  fields    an object with these attributes
    list[str], "a" | "b"    value     one JSON value (asked for as {"value": ...})
    Ticket                  value     a Pydantic model, dataclass or Enum of the notebook

`"low" | "high"` becomes `Literal['low', 'high']`, at any depth; `Literal[...]` may be written as well.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from orchmagic.language import expression

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPING = ("Literal", "Annotated", "Any", "Optional", "Union")  # always known in outputs
_BUILT_IN = frozenset({"str", "int", "float", "bool", "list", "dict", "tuple", "set", "None", "Literal"})
_SHOWN = 40
_FORM = 'write a type (`list[str]`, `"a" | "b"`, `Ticket`) or named ones (`score: float, why: str`)'


@dataclass(frozen=True, slots=True)
class Field:
    """One named output; `annotation` is its type as Python source, with labels as `Literal[...]`."""

    name: str
    annotation: str


@dataclass(frozen=True, slots=True)
class Output:
    """A step's declared output. `fields` is set for kind "fields", `annotation` for kind "value"."""

    kind: Literal["text", "fields", "value"]
    fields: tuple[Field, ...] = ()
    annotation: str = ""


TEXT = Output("text")


class NotAnOutput(ValueError):
    """The text after `->` is not a valid output: what was `found`, and what to `write` instead."""

    def __init__(self, found: str, write: str = _FORM) -> None:
        super().__init__(f"{found}: {write}")
        self.found = found
        self.write = write


def parse_output(source: str) -> Output:
    """Parses the text after `->`.

    Raises:
        NotAnOutput: the text is not a valid output.
    """
    if not source.strip():
        raise NotAnOutput("nothing follows `->`")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(source.strip())
    except (RecursionError, MemoryError):
        raise NotAnOutput("the output is nested too deeply", "declare a class in the notebook") from None


def annotation_names(output: Output) -> frozenset[str]:
    """Returns the names that an output's types use from the notebook, such as `Ticket`."""
    annotations = [output.annotation] if output.kind == "value" else [f.annotation for f in output.fields]
    return frozenset().union(*(expression.names(a) for a in annotations)) - frozenset(TYPING)


def _read(source: str) -> Output:
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        return Output("fields", fields=tuple(_fields(source)))
    if isinstance(tree, ast.Tuple):
        raise NotAnOutput("several outputs need names", "write `first: str, second: int`")
    annotation = _written(tree)
    return TEXT if annotation == "str" else Output("value", annotation=annotation)


def _fields(source: str) -> Iterator[Field]:
    """Parses named outputs as the parameters of a Python function: both have the same grammar."""
    try:
        tree = ast.parse(f"def _(\n{source}\n): pass")
    except (SyntaxError, ValueError) as error:
        raise NotAnOutput(f"{_cut(source)} is no output") from error
    function = tree.body[0]
    is_signature = len(tree.body) == 1 and isinstance(function, ast.FunctionDef) and not function.returns
    if not is_signature or not isinstance(function, ast.FunctionDef) or not isinstance(function.body[0], ast.Pass):
        raise NotAnOutput(f"{_cut(source)} is no output")
    arguments = function.args
    if arguments.defaults or arguments.kw_defaults or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise NotAnOutput("an output has neither default nor star", "write `name: type`")
    seen: set[str] = set()
    for argument in arguments.args:
        if argument.arg in seen:
            raise NotAnOutput(f"{argument.arg!r} is named twice", "give each output a name of its own")
        seen.add(argument.arg)
        if argument.annotation is None:
            raise NotAnOutput(f"{argument.arg!r} needs a type", f"write `{argument.arg}: str`")
        yield Field(_checked(argument.arg), _written(argument.annotation))


def _cut(source: str) -> str:
    return repr(source if len(source) <= _SHOWN else source[: _SHOWN - 1] + "…")


def _checked(name: str) -> str:
    if name in _BUILT_IN:
        raise NotAnOutput(f"{name!r} is a type", f"name the output, as in `result: {name}`")
    if name.startswith("_"):
        raise NotAnOutput(f"{name!r} begins with `_`", f"write `{name.lstrip('_') or 'result'}`")
    if name.startswith("model_") and hasattr(BaseModel, name):
        raise NotAnOutput(f"{name!r} is taken by Pydantic", "write another name")
    return name


def _written(node: ast.expr) -> str:
    return ast.unparse(_type(node))


def _type(node: ast.expr) -> ast.expr:
    """Returns the annotation with its labels as `Literal`.

    Raises:
        NotAnOutput: the node is not a type.
    """
    match node:
        case ast.BinOp(op=ast.BitOr()) | ast.Constant() | ast.UnaryOp():
            return _union(node)
        case ast.Name():
            return node
        case ast.Attribute(value=value):
            _type(value)
            return node
        case ast.Subscript(value=ast.Name(id="Literal")):
            return node
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *rest])):
            node.slice = ast.Tuple([_type(first), *rest], ast.Load())
            return node
        case ast.Subscript(value=value, slice=inner):
            several = isinstance(inner, ast.Tuple)
            types = [_inner(e) for e in (inner.elts if isinstance(inner, ast.Tuple) else [inner])]
            node.slice = ast.Tuple(types, ast.Load()) if several else types[0]
            _type(value)
            return node
    raise NotAnOutput(f"{_cut(ast.unparse(node))} is no type")


def _inner(node: ast.expr) -> ast.expr:
    """Converts a type inside brackets, where `...` is allowed too, as in `tuple[int, ...]`."""
    return node if isinstance(node, ast.Constant) and node.value is Ellipsis else _type(node)


def _union(node: ast.expr) -> ast.expr:
    """Merges all labels of a union at the first label's place: `"a" | "b" | None` -> `Literal['a', 'b'] | None`."""
    members = list(_members(node))
    labels = [m for m in members if _is_label(m)]
    if labels:
        several = ast.Tuple(labels, ast.Load()) if len(labels) > 1 else labels[0]
        literal = ast.Subscript(ast.Name("Literal", ast.Load()), several, ast.Load())
        at = members.index(labels[0])
        members = [m for m in members if m not in labels]
        members.insert(at, literal)
    first, *rest = members
    union = first
    for member in rest:
        union = ast.BinOp(union, ast.BitOr(), member)
    return union


def _members(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    elif _is_label(node) or (isinstance(node, ast.Constant) and node.value is None):
        yield node
    elif isinstance(node, ast.Constant | ast.UnaryOp):
        raise NotAnOutput(f"{ast.unparse(node)} is no type and no label", "labels are text or whole numbers")
    else:
        yield _type(node)


def _is_label(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_label(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, str | int)
