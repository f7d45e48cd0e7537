"""Checks, analyses and evaluates the Python expressions of a cell: gates, code steps, `when=`.

A scope maps names to values; builtins and the module `re` are always available. Only `evaluate` and `parts` run code.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import symtable
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from orchmagic.core.user_code import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import CodeType

Settle: TypeAlias = "Callable[[object], object]"
_ALWAYS = frozenset(dir(builtins)) | {"re"}
_SETTLE = "__settled"
_TOO_DEEP = "the expression is nested too deeply"


@lru_cache(maxsize=1024)
def _read(source: str) -> tuple[ast.Expression, CodeType, frozenset[str]]:
    """Returns the syntax tree, the compiled code and the free names (builtins included)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=SyntaxWarning)  # `x is "a"` counts as an error
        warnings.filterwarnings("ignore", message=".*invalid escape")  # "\d" in a regular expression is fine
        tree = ast.parse(source.strip(), mode="eval")
        code = compile(tree, "<cell>", "eval")
        table = symtable.symtable(source.strip(), "<cell>", "eval")
    walrus = {n.target.id for n in ast.walk(tree) if isinstance(n, ast.NamedExpr)}  # not in symtable from 3.12 on
    return tree, code, frozenset(_free(table) - walrus)


def _free(table: symtable.SymbolTable) -> set[str]:
    tables = [table]
    for inner in tables:
        tables.extend(inner.get_children())
    symbols = [s for t in tables for s in t.get_symbols() if s.is_global() or t is table]
    bound = {s.get_name() for s in symbols if s.is_assigned()}  # by `:=`, whose names outlive a comprehension
    return {s.get_name() for s in symbols if s.is_referenced()} - bound


def check(source: str) -> tuple[str, int] | None:
    """Returns the syntax error and its column (from 0), or None if the expression is valid."""
    if not source.strip():
        return "an expression is missing", 0
    if "\0" in source:
        return "a null byte", source.index("\0")
    try:
        _read(source)
    except SyntaxError as error:
        indent = len(source) - len(source.lstrip())
        column = indent + error.offset - 1 if error.offset else len(source.rstrip())  # 0: at the end
        return (error.msg or "invalid syntax").rstrip(".?"), max(column, 0)
    except (RecursionError, MemoryError):
        return _TOO_DEEP, 0
    except ValueError as error:  # a lone surrogate
        return f"no Python text: {error}", 0
    return None


def tree(source: str) -> ast.Expression:
    """Returns the syntax tree."""
    return _read(source)[0]


def names(source: str) -> frozenset[str]:
    """Returns the free names that a scope must supply: without builtins and `re`."""
    return _read(source)[2] - _ALWAYS


def called(source: str) -> frozenset[str]:
    """Returns the free names that the expression calls, as in `search(query)`."""
    calls = (node.func for node in ast.walk(_read(source)[0]) if isinstance(node, ast.Call))
    return names(source) & {function.id for function in calls if isinstance(function, ast.Name)}


@lru_cache(maxsize=1024)
def calls(source: str) -> bool:
    """Whether the expression calls anything but builtins: it may be code of the notebook."""
    callees = [node.func for node in ast.walk(_read(source)[0]) if isinstance(node, ast.Call)]
    return any(not (isinstance(f, ast.Name) and f.id in _ALWAYS) for f in callees)


def attributes(source: str) -> tuple[tuple[str, str], ...]:
    """Returns the (free name, attribute) pairs, such as ("extract", "quote") for `extract.quote`; sorted."""
    free = names(source)
    nodes = [node for node in ast.walk(_read(source)[0]) if isinstance(node, ast.Attribute)]
    pairs = {(n.value.id, n.attr) for n in nodes if isinstance(n.value, ast.Name) and n.value.id in free}
    return tuple(sorted(pairs))


def evaluate(source: str, scope: Mapping[str, object], settle: Settle | None = None) -> object:
    """Returns the expression's value. Its exceptions are raised, and as `CodeExit` what is no ordinary error.

    `settle` gets the value of each call in it and returns what the expression goes on with: of an async function its
    result.
    """
    _, code, free = _read(source)
    # Passed as globals: comprehensions and lambdas inside the expression cannot see the locals of eval.
    known = {"re": re} | {name: scope[name] for name in free if name in scope}
    if settle is not None:
        code = _settled(source)
        known |= {name: _waiting(value, settle) for name, value in known.items() if inspect.iscoroutinefunction(value)}
        known[_SETTLE] = settle
    with contained():
        return eval(code, known)  # noqa: S307 - the user's own code, typed into the user's own kernel


def _waiting(function: Callable[..., object], settle: Settle) -> Callable[..., object]:
    """An async function that can be called like any other, as `map(check, rows)` does."""
    return lambda *args, **kwargs: settle(function(*args, **kwargs))


@lru_cache(maxsize=1024)
def _settled(source: str) -> CodeType:
    """Returns the code in which each call goes through the function `_SETTLE`."""
    tree = _SettledCalls().visit(ast.parse(source.strip(), mode="eval"))
    return compile(ast.fix_missing_locations(tree), "<cell>", "eval")


class _SettledCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        return ast.Call(ast.Name(_SETTLE, ast.Load()), [node], [])


def parts(source: str, scope: Mapping[str, object]) -> dict[str, object]:
    """Maps the source of each part (`extract.quote`) to its value, to explain why a gate was false."""
    tree, _, free = _read(source)
    values: dict[str, object] = {}
    try:
        for node in _chains(tree.body):
            root = next(n for n in ast.walk(node) if isinstance(n, ast.Name))
            if root.id in free and root.id in scope:
                _note(ast.unparse(node), scope, values)
    except RecursionError:
        pass  # only the message about a very deep expression gets shorter
    return values


def _note(source: str, scope: Mapping[str, object], values: dict[str, object]) -> None:
    try:
        value = evaluate(source, scope)
    except Exception:  # noqa: BLE001 - a part that raises (an attribute of None) is left out
        return
    if not (inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)):
        values[source] = value


def _chains(node: ast.AST) -> Iterator[ast.expr]:
    """Yields names with their attributes and constant subscripts; for `a.b.lower()` only `a.b`."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            yield from _chains(node.func.value)
        elif not isinstance(node.func, ast.Name):
            yield from _chains(node.func)
        for argument in (*node.args, *(k.value for k in node.keywords)):
            yield from _chains(argument)
    elif isinstance(node, ast.expr) and _is_chain(node):
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from _chains(child)


def _is_chain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return False
        node = node.value
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
