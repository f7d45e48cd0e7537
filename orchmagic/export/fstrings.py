"""Converts prompt templates to f-strings if the result is the same; other templates stay Jinja."""

from __future__ import annotations

import builtins
import types as builtin_types
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jinja2 import nodes

from orchmagic.core.portable import as_text
from orchmagic.export.formatting import Filled
from orchmagic.language import template

_WRITTEN = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Known:
    """A value that a template reads: the expression of it, and its type (`JSON` if no more is known)."""

    variable: str
    type: Any


class JSON:
    """Marker type: any JSON value."""


def called_builtins(text: str) -> list[str]:
    """Returns the builtins that a template calls and Jinja does not provide, sorted."""
    used = {n.name for n in template.tree(text).find_all(nodes.Name)}
    return sorted(n for n in used - template.names(text) if hasattr(builtins, n) and n not in {"range", "dict"})


def parts(text: str, known: Mapping[str, Known]) -> list[str | Filled] | None:
    """Returns the parts of an f-string; None if Jinja is needed (logic, filters, calls, values of unknown type)."""
    found: list[str | Filled] = []
    for output in template.tree(text).body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            piece = _piece(node, known)
            if piece is None:
                return None
            found.append(piece)
    return found


def _piece(node: nodes.Node, known: Mapping[str, Known]) -> str | Filled | None:
    if isinstance(node, nodes.TemplateData):
        return str(node.data)
    if isinstance(node, nodes.Const):  # {{ '{{' }}
        return as_text(node.value)
    found = _chain(node, known)
    if found is None:
        return None
    return Filled(found.variable if _is_written(found.type) else f"as_text({found.variable})")


def _chain(node: nodes.Node, known: Mapping[str, Known]) -> Known | None:
    if isinstance(node, nodes.Name):
        return known.get(node.name)
    if isinstance(node, nodes.Getattr):
        key: object = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = node.arg.value
    else:
        return None
    inner = _chain(node.node, known)
    return None if inner is None or not isinstance(key, str | int) else _step(inner, key)


def _step(inner: Known, key: str | int) -> Known | None:
    """Resolves `.key` or `[key]`: an attribute of a record, or an element of JSON."""
    if isinstance(key, str) and not key.replace(" ", "_").isidentifier():
        return None  # quotes and braces inside the braces of an f-string
    kind = _without_none(inner.type)
    subscript = Known(f"{inner.variable}[{key!r}]", JSON)
    if kind is JSON or kind is Any:
        return subscript if kind is JSON else None
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is dict:
        return Known(subscript.variable, args[1] if args else JSON)
    if origin is list and isinstance(key, int):
        return Known(subscript.variable, args[0] if args else JSON)
    if isinstance(kind, type) and isinstance(key, str) and key.isidentifier():
        return _attribute(inner, kind, key)
    return None


def _attribute(inner: Known, kind: type, key: str) -> Known | None:
    fields = getattr(kind, "model_fields", None)
    if fields is not None and key in fields:
        return Known(f"{inner.variable}.{key}", fields[key].annotation)
    if is_dataclass(kind) and key in (hints := get_type_hints(kind)):
        return Known(f"{inner.variable}.{key}", hints[key])
    if issubclass(kind, Enum) and key in {"value", "name"}:
        return Known(f"{inner.variable}.{key}", object)
    return None


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, builtin_types.UnionType):
        rest = [a for a in get_args(kind) if a is not type(None)]
        return rest[0] if len(rest) == 1 else object
    return kind


def _is_written(kind: Any) -> bool:
    """Whether an f-string formats a value of this type as a template does."""
    if get_origin(kind) is Literal:
        return all(type(a) in _WRITTEN for a in get_args(kind))
    return kind in _WRITTEN
