"""Finds the source of a notebook's function or class, and the names that the source needs.

IPython keeps cells in linecache, so `inspect` finds functions. It does not find classes of a notebook, since
`__main__` has no file: those are searched in the cells that ran, the latest first.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any


def of_function(function: object) -> str | None:
    """Returns the function's source with its decorators; None if it cannot be found."""
    inner: Any = inspect.unwrap(function)  # type: ignore[arg-type]  # a callable
    try:
        text = textwrap.dedent(inspect.getsource(inner)).rstrip()
        found = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    # Python 3.13 knows the source of `python -c` and returns a part of it for exec'd functions
    own = getattr(getattr(inner, "__code__", None), "co_name", inner.__name__)
    return text if getattr(found, "name", "") == own else None


def of_module(name: str, module: str) -> str:
    """Returns the statement of an orchmagic module that defines a name, with the comments above it."""
    text = inspect.getsource(sys.modules[module])
    rows = text.split("\n")
    for node in ast.parse(text).body:
        if defined(node) == name:
            start = min(n.lineno for n in (node, *getattr(node, "decorator_list", ()))) - 1
            while rows[start - 1].startswith("#"):
                start -= 1
            return "\n".join(rows[start : node.end_lineno])
    raise LookupError(f"{module} does not define {name}")


def defined(node: ast.stmt) -> str | None:
    """Returns the name that a statement defines, or None."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None


def unmarked(source: str, scope: Mapping[str, object]) -> tuple[str, list[str]]:
    """Returns the function without orchmagic's decorators, and those decorators."""
    tree = ast.parse(source).body[0]
    rows = source.split("\n")
    found: list[str] = []
    for mark in reversed(getattr(tree, "decorator_list", [])):
        if _is_ours(mark, scope):
            found.insert(0, ast.unparse(mark))
            del rows[mark.lineno - 1 : mark.end_lineno]
    return "\n".join(rows), found


def _is_ours(mark: ast.expr, scope: Mapping[str, object]) -> bool:
    called = mark.func if isinstance(mark, ast.Call) else mark
    root = next((n.id for n in ast.walk(called) if isinstance(n, ast.Name)), "")
    found = scope.get(root)
    origin = getattr(found, "__name__", "") if inspect.ismodule(found) else getattr(found, "__module__", None)
    return str(origin).split(".")[0] == "orchmagic"


def of_class(found: type, namespace: Mapping[str, object]) -> str | None:
    """Returns the class's source with its decorators; None if it cannot be found."""
    for cell in _cells(found, namespace):
        text = _segment(cell, found)
        if text is not None:
            return text
    return of_function(found)  # `__main__` of a script has a file


def _cells(found: type, namespace: Mapping[str, object]) -> Iterator[str]:
    for method in vars(found).values():
        if isinstance(method, FunctionType):
            yield "".join(linecache.getlines(method.__code__.co_filename))
    ran = namespace.get("In")
    if isinstance(ran, list):
        yield from (str(cell) for cell in reversed(ran))
    for name in reversed(list(linecache.cache)):
        if name.startswith("<"):
            yield "".join(linecache.getlines(name))


def _segment(cell: str, found: type) -> str | None:
    """Returns the definition of the class in the cell, if it has the same fields."""
    try:
        tree = ast.parse(cell)
    except (SyntaxError, ValueError, RecursionError):  # a magic, or no Python at all
        return None
    fields = set(vars(found).get("__annotations__", ()))
    for node in reversed(tree.body):
        if isinstance(node, ast.ClassDef) and node.name == found.__name__ and _fields(node) == fields:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(cell.splitlines()[start - 1 : node.end_lineno]).rstrip()
    return None


def _fields(node: ast.ClassDef) -> set[str]:
    return {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}


def needs(source: str) -> list[str]:
    """Returns the global names that code reads and does not define, sorted; builtins included."""
    outer = symtable.symtable(source, "<cell>", "exec")
    tables = [outer]
    found = set(_quoted_annotations(ast.parse(source)))
    for table in tables:
        tables.extend(table.get_children())
        read = (s for s in table.get_symbols() if s.is_referenced())
        found |= {s.get_name() for s in read if table is outer or s.is_global()}
    bound = {s.get_name() for s in outer.get_symbols() if s.is_assigned() or s.is_imported()}
    return sorted(found - bound)


def _quoted_annotations(tree: ast.AST) -> Iterator[str]:
    """Yields the names inside quoted annotations: `def f(ticket: "Ticket")`."""
    for node in ast.walk(tree):
        for written in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(written, ast.expr):
                yield from (name for text in _texts(written) for name in _names(text))


def _texts(annotation: ast.expr) -> Iterator[str]:
    """Yields quoted types, without labels of a Literal and metadata of an Annotated."""
    match annotation:
        case ast.Constant(value=str() as text):
            yield text
        case ast.Subscript(value=ast.Name(id="Literal")):
            return
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            yield from _texts(first)
        case _:
            for child in ast.iter_child_nodes(annotation):
                if isinstance(child, ast.expr):
                    yield from _texts(child)


def _names(text: str) -> list[str]:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return []
    found = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    return [n for n in found if not hasattr(builtins, n)]


def is_typed(source: str) -> bool:
    """Whether every function of the source has all its type hints."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a for a in named if a.annotation is None and a.arg not in {"self", "cls"}]
            stars = [a for a in (node.args.vararg, node.args.kwarg) if a and a.annotation is None]
            if bare or stars or node.returns is None:
                return False
    return True
