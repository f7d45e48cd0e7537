"""The fingerprint of what is run on rows: equal as long as the same input must give an answer of the same kind.

It covers the cell and those inside it, the models and where they are served, and the notebook's functions, classes and
values that the cell uses, with what these use in turn. A stored answer is used again only under the same fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import CodeType, FunctionType, ModuleType
from typing import Any

from orchmagic.graph.composition import nested
from orchmagic.graph.model import Graph, Tools
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.cost_reference import models_of
from orchmagic.runtime.services import Services

_LARGEST = 1_000_000  # characters of a value's text


def fingerprint(graph: Graph, options: RunOptions, services: Services) -> str:
    """Returns the fingerprint of a graph as it would run now."""
    graphs = (*nested(graph), graph)
    code = dict.fromkeys(n for g in graphs for n in (*g.code, *tools_of(g)))
    parts = {
        "graphs": [repr(g) for g in graphs],
        "options": repr(options),
        "models": [*models_served(graph, options, services).values()],
        "code": [*_Code(services.namespace).of(code)],
    }
    return digest(parts)


def version(graph: Graph) -> str:
    """Returns the hash of the text of a cell and of those inside it, whatever models and functions they name."""
    return digest([g.source for g in (*nested(graph), graph)])


def models_served(graph: Graph, options: RunOptions, services: Services) -> dict[str, Any]:
    """Returns the models that a graph may call, each with where and how it is served (JSON), without keys."""
    names = dict.fromkeys(models_of(graph, services.call_defaults(options)))
    return {name: _model(name, services) for name in names}


def digest(value: object) -> str:
    """Returns the hash of a value, by its JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tools_of(graph: Graph) -> tuple[str, ...]:
    """The names of the tools that agents of the graph may call, without those of inner graphs."""
    return tuple(dict.fromkeys(t for n in graph.nodes if isinstance(n, Tools) for t in n.tools))


def _model(name: str, services: Services) -> Any:
    pool = services.models.pool(name)
    found = asdict(pool) if pool is not None else asdict(services.models.resolve(name))
    return _public(found)


def _public(value: Any) -> Any:
    """A deployment without its key: a new key changes no answer."""
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items() if "key" not in k}
    return [_public(v) for v in value] if isinstance(value, list | tuple) else repr(value)


class _Code:
    """Describes functions, classes and values of the notebook by what they do, with what they use."""

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._seen: set[int] = set()

    def of(self, names: Iterator[str] | Mapping[str, None]) -> Iterator[str]:
        for name in names:
            if name in self._namespace:
                yield from self._described(name, self._namespace[name])

    def _described(self, name: str, value: object) -> Iterator[str]:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        value = getattr(value, "__wrapped__", value)  # of a decorator, such as orchmagic.tool
        if isinstance(value, FunctionType):
            yield from self._function(name, value)
        elif isinstance(value, type):
            yield f"{name}: class {value.__module__}.{value.__qualname__} {_fields(value)}"
            for key, method in vars(value).items():
                if isinstance(method, FunctionType):
                    yield from self._function(f"{name}.{key}", method)
        elif isinstance(value, ModuleType):
            yield f"{name}: module {value.__name__} {getattr(value, '__version__', '')}"
        else:
            yield f"{name}: {_value(value)}"

    def _function(self, name: str, function: FunctionType) -> Iterator[str]:
        yield f"{name}: {function.__defaults__!r} {_code(function.__code__)}"
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        for free, cell in cells:
            yield from self._described(free, cell.cell_contents)
        for used in _names(function.__code__):
            scope = self._namespace if used in self._namespace else function.__globals__
            is_own = function.__module__ in {"__main__", None} or used in self._namespace
            if is_own and used in scope:
                yield from self._described(used, scope[used])


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _fields(kind: type) -> str:
    schema = getattr(kind, "model_json_schema", None)
    try:
        return json.dumps(schema(), sort_keys=True) if callable(schema) else repr(getattr(kind, "__annotations__", {}))
    except Exception:  # noqa: BLE001 - a class that cannot describe itself: by its methods alone
        return ""


def _value(value: object) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return f"{type(value).__module__}.{type(value).__qualname__}"  # a client, a connection: by its class
    return text if len(text) < _LARGEST else digest(text)
