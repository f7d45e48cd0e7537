"""Reads the source files whose definitions are copied into modules unchanged: definitions and imports."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType

from orchmagic.core import portable
from orchmagic.export import source_text
from orchmagic.export.vendored import call_runtime, ending, fan_out, tool_runtime

_IMPORT_INSIDE = re.compile(r"^ +(?:from \S+ )?import .*# noqa: PLC0415.*\n\n?", re.MULTILINE)
_VENDORED = (call_runtime, ending, fan_out, tool_runtime)
SOURCES = (portable, *_VENDORED)


@cache
def definitions(module: ModuleType) -> Mapping[str, str]:
    """Returns the source of each definition of a copied file by name, without imports inside functions.

    Constants of `vendored` are left out: they are placeholders for those of the module.
    """
    is_kept = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef) if module in _VENDORED else ast.stmt
    names = [name for n in _tree(module).body if isinstance(n, is_kept) and (name := source_text.defined(n))]
    return {name: _IMPORT_INSIDE.sub("", source_text.of_module(name, module.__name__)) for name in names}


@cache
def imports() -> Mapping[str, str]:
    """Returns what copied code imports from outside orchmagic: name -> module, "" if the name is a module."""
    return dict(pair for module in SOURCES for node in ast.walk(_tree(module)) for pair in _imported(node))


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, "") for alias in names)
        case ast.ImportFrom(module=str() as place, names=names) if place.split(".")[0] not in {
            "orchmagic",
            "__future__",
        }:
            yield from ((alias.name, place) for alias in names)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))
