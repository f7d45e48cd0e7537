"""Binds the inputs of a run: arguments first, then notebook variables of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchmagic.errors import InputError, nearest
from orchmagic.graph.model import Graph
from orchmagic.graph.standard_types import STANDARD_TYPES
from orchmagic.graph.used_inputs import documents, uses
from orchmagic.runtime.used_parts import used_part


def missing_names(graph: Graph, namespace: Mapping[str, object], passed: Mapping[str, object]) -> list[str]:
    """The inputs and functions that are neither passed nor defined in the notebook."""
    wanted = (*graph.inputs, *(n for n in graph.code if n not in STANDARD_TYPES))
    return [n for n in wanted if n not in passed and n not in namespace]


def nearest_variable(name: str, namespace: Mapping[str, object]) -> str:
    """Returns `; did you mean 'ticket'?` if a notebook variable is close to the missing name, else ""."""
    return nearest(name, (n for n in namespace if not n.startswith("_")))


def bind_inputs(
    graph: Graph, namespace: Mapping[str, object], args: tuple[object, ...], passed: Mapping[str, object]
) -> dict[str, Any]:
    """Returns the inputs of a run as JSON: passed arguments, the rest from notebook variables.

    Of each only what the graph uses: a run that reads `cfg.name` keeps no other entry of `cfg`.

    Raises:
        InputError: an input is missing, unknown, or not JSON.
    """
    names = graph.inputs
    if len(args) > len(names):
        raise InputError(f"{graph.name} takes {len(names)} inputs ({', '.join(names)}), not {len(args)}")
    values = {**passed, **dict(zip(names, args, strict=False))}
    if unknown := [n for n in values if n not in names]:
        raise InputError(
            f"{graph.name} has no input {', '.join(map(repr, unknown))} (inputs: {', '.join(names) or 'none'})"
            f"{nearest(unknown[0], names)}"
        )
    if missing := missing_names(graph, namespace, values):
        raise InputError(
            f"{graph.name} needs {', '.join(missing)}: define {missing[0]} in the notebook"
            + (f", or pass {missing[0]}=…" if missing[0] in names else "")
            + nearest_variable(missing[0], namespace)
        )
    return _bound(graph, {n: values[n] if n in values else namespace[n] for n in names})


def bound_again(graph: Graph, namespace: Mapping[str, object], name: str) -> Any:
    """An input of a stored run as JSON, from the notebook's variable of its name; None if there is none."""
    with suppress(InputError):
        return _bound(graph, {name: namespace[name]})[name] if name in namespace else None
    return None


def _bound(graph: Graph, found: Mapping[str, object]) -> dict[str, Any]:
    used, read = uses(graph), documents(graph)
    return {n: used_part(_document(n, v) if n in read else v, n, used[n]) for n, v in found.items()}


def _document(name: str, value: object) -> object:
    """The texts of the files that a path, or a list of paths, names; any other value as it is.

    Raises:
        InputError: a file cannot be read, or is no text.
    """
    if isinstance(value, list | tuple):
        return [_document(name, v) for v in value]
    if not isinstance(value, Path):
        return value
    try:
        return value.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{name!r} is the path {value}, which cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{name!r} is the path {value}, which is no text file: pass the text that is in it") from None
