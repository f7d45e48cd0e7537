"""Finds which parts of a variable a template or an expression uses: of `{{ cfg.name }}` the entry `name`, not `cfg`.

A run keeps only these parts. Where the parts cannot be told from the text (`show(cfg)`), all of the variable is used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, TypeAlias

from orchmagic.language import expression, template

if TYPE_CHECKING:
    from jinja2 import nodes

Key: TypeAlias = str | int
Path: TypeAlias = tuple["Key | None", ...]  # None: each element
_SIZE_FILTERS, _ENDS = frozenset({"length", "count"}), {"first": 0, "last": -1}


@dataclass(frozen=True, slots=True)
class Use:
    """The parts of one value that are used.

    `whole`: all of it. `size`: how many entries it has. `parts`: entries by key, attribute (also of a method that is
    called) or index. `each`: what a loop uses of each element (of a dict: the keys). `items`: what `over=` uses of each
    item.
    """

    whole: bool = False
    size: bool = False
    parts: Mapping[Key, Use] = field(default_factory=dict)
    each: Use | None = None
    items: Use | None = None

    def __or__(self, other: Use) -> Use:
        """What either of two uses needs."""
        keys = dict.fromkeys((*self.parts, *other.parts))
        return Use(
            self.whole or other.whole,
            self.size or other.size,
            {k: either(self.parts.get(k), other.parts.get(k)) or NOTHING for k in keys},
            either(self.each, other.each),
            either(self.items, other.items),
        )


WHOLE, NOTHING, SIZE = Use(whole=True), Use(), Use(size=True)
Uses: TypeAlias = dict[str, Use]


def either(one: Use | None, other: Use | None) -> Use | None:
    """What one or both of two uses need; None without any."""
    return (one and other and one | other) or one or other


def merged(found: Iterable[Mapping[str, Use]]) -> Uses:
    """The uses by name that any of `found` lists."""
    total: Uses = {}
    for uses in found:
        total |= {name: total.get(name, NOTHING) | use for name, use in uses.items()}
    return total


def of_expression(source: str, value: Use = WHOLE) -> Uses:
    """Maps the free names of a Python expression to what it uses of them; `value` is what is used of its value."""
    reader = _Python()
    reader.visit(ast.parse(source.strip(), mode="eval").body, {}, value)
    return {name: use for name, use in reader.uses.items() if name in expression.names(source)}


@lru_cache(maxsize=1024)
def of_template(text: str) -> Mapping[str, Use]:
    """Maps the free names of a template to what it uses of them."""
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    free = template.names(text)
    tree = template.tree(text)
    reader = _Jinja()
    reader.visit(tree, {})
    own = {n.name for n in tree.find_all(nodes.Name) if n.ctx != "load"}  # `{% set x = … %}` hides a name for a part
    return merged([reader.uses, dict.fromkeys(own, WHOLE)]) if own & free else reader.uses


def _at(path: Path, use: Use) -> Use:
    """The use of a value whose part at `path` is used like `use`."""
    return reduce(lambda inner, key: Use(each=inner) if key is None else Use(parts={key: inner}), reversed(path), use)


Chain: TypeAlias = "tuple[str, Path] | None"
Bound: TypeAlias = Mapping[str, Chain]
"""Names of loops, with the variable's part that each stands for; None: something else."""


class _Reader:
    def __init__(self) -> None:
        self.uses: Uses = {}

    def _note(self, chain: Chain, use: Use) -> None:
        if chain is not None:
            name, path = chain
            self.uses[name] = self.uses.get(name, NOTHING) | _at(path, use)


class _Python(_Reader):
    """Reads a Python expression; `bound` maps the names of comprehensions and lambdas."""

    def visit(self, node: ast.AST, bound: Bound, use: Use = WHOLE) -> None:
        match node:
            case ast.Name() | ast.Attribute() | ast.Subscript():
                self._variable(node, bound, use)
            case ast.Call(func=ast.Name(id="len"), args=[value], keywords=[]):
                self.visit(value, bound, SIZE)
            case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[ast.Constant(value=str(key)), *rest]):
                self._variable(ast.Subscript(value, ast.Constant(key)), bound, use)
                self._all(rest, bound)
            case ast.Call(func=ast.Attribute(value=value)):
                self._variable(node.func, bound, NOTHING)
                self._all((value, *node.args, *node.keywords), bound)
            case ast.UnaryOp(op=ast.Not(), operand=value):
                self.visit(value, bound, SIZE)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.visit(test, bound, SIZE)
                self.visit(body, bound, use)
                self.visit(orelse, bound, use)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._comprehension(node, bound)
            case ast.Lambda(args=args, body=body):
                own = [a.arg for a in ast.walk(args) if isinstance(a, ast.arg)]
                self._all((*args.defaults, *filter(None, args.kw_defaults)), bound)
                self.visit(body, {**bound, **dict.fromkeys(own)})
            case _:
                self._all(ast.iter_child_nodes(node), bound)

    def _all(self, nodes: Iterable[ast.AST], bound: Bound) -> None:
        for node in nodes:
            self.visit(node, bound)

    def _variable(self, node: ast.expr, bound: Bound, use: Use) -> None:
        root, path = _python_chain(node)
        if isinstance(root, ast.Name):
            self._note(_bound(root.id, path, bound), use)
        else:
            self.visit(root, bound) if root is not node else self._all(ast.iter_child_nodes(node), bound)

    def _comprehension(self, node: Any, bound: Bound) -> None:
        inside = dict(bound)
        for loop in node.generators:
            root, path = _python_chain(loop.iter)
            chain = _bound(root.id, path, inside) if isinstance(root, ast.Name) else None
            if chain is not None and isinstance(loop.target, ast.Name):
                self._note(chain, Use(each=NOTHING))
                inside[loop.target.id] = (chain[0], (*chain[1], None))
            else:
                self.visit(loop.iter, inside)
                inside |= dict.fromkeys(n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name))
            for test in loop.ifs:
                self.visit(test, inside, SIZE)
        self._all((node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,), inside)


def _python_chain(node: ast.expr) -> tuple[ast.expr, Path]:
    """The variable and the path of `a.b[0]`; of another expression itself, and an empty path."""
    path: list[Key | None] = []
    at = node
    while isinstance(at, ast.Attribute | ast.Subscript):
        key = at.attr if isinstance(at, ast.Attribute) else _constant(at.slice)
        if key is None:
            return node, ()
        path.insert(0, key)
        at = at.value
    return at, tuple(path)


def _constant(node: ast.expr) -> Key | None:
    match node:
        case ast.Constant(value=str() | int() as key) if not isinstance(key, bool):
            return key
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(key))):
            return -key
    return None


def _bound(name: str, path: Path, bound: Bound) -> Chain:
    if name not in bound:
        return name, path
    around = bound[name]
    return None if around is None else (around[0], (*around[1], *path))


class _Jinja(_Reader):
    """Reads a template; `bound` maps the names of its loops."""

    def visit(self, node: nodes.Node, bound: Bound, use: Use = WHOLE) -> None:
        from jinja2 import nodes  # noqa: PLC0415 - heavy

        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._variable(node, bound, use)
            case nodes.Filter(name=name, node=nodes.Node() as value) if name in _SIZE_FILTERS:
                self.visit(value, bound, SIZE)
            case nodes.Filter(name=name, node=nodes.Node() as value) if name in _ENDS:
                self._variable(nodes.Getitem(value, nodes.Const(_ENDS[name]), "load"), bound, use)
            case nodes.Call(node=nodes.Name(name="len"), args=[value]):
                self.visit(value, bound, SIZE)
            case nodes.Call(node=nodes.Getattr(node=value, attr="get"), args=[nodes.Const(value=str(key)), *rest]):
                self._variable(nodes.Getitem(value, nodes.Const(key), "load"), bound, use)
                self._all(rest, bound)
            case nodes.Call(node=nodes.Getattr(node=value) as method):
                self._variable(method, bound, NOTHING)
                self._all((value, *node.args, *node.kwargs), bound)
            case nodes.If(test=test) | nodes.CondExpr(test=test):
                self.visit(test, bound, SIZE)
                self._all((n for n in node.iter_child_nodes() if n is not test), bound)
            case nodes.For():
                self._loop(node, bound)
            case _:
                self._all(node.iter_child_nodes(), bound)

    def _all(self, found: Iterable[nodes.Node], bound: Bound) -> None:
        for node in found:
            self.visit(node, bound)

    def _variable(self, node: nodes.Node, bound: Bound, use: Use) -> None:
        from jinja2 import nodes  # noqa: PLC0415 - heavy

        root, path = _jinja_chain(node)
        if isinstance(root, nodes.Name):
            if root.ctx == "load":
                self._note(_bound(root.name, path, bound), use)
        else:
            self._all(root.iter_child_nodes() if root is node else (root,), bound)

    def _loop(self, node: nodes.For, bound: Bound) -> None:
        from jinja2 import nodes  # noqa: PLC0415 - heavy

        root, path = _jinja_chain(node.iter)
        chain = _bound(root.name, path, bound) if isinstance(root, nodes.Name) else None
        inside = {**bound, "loop": None}
        if chain is not None and isinstance(node.target, nodes.Name) and not node.recursive:
            self._note(chain, Use(each=NOTHING))
            inside[node.target.name] = (chain[0], (*chain[1], None))
        else:
            self.visit(node.iter, bound)
            inside |= dict.fromkeys(n.name for n in _stored(node.target))
        if node.test is not None:
            self.visit(node.test, inside, SIZE)
        self._all(node.body, inside)
        self._all(node.else_, bound)


def _stored(target: nodes.Node) -> Iterator[nodes.Name]:
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    if isinstance(target, nodes.Name):
        yield target
    yield from target.find_all(nodes.Name)


def _jinja_chain(node: nodes.Node) -> tuple[nodes.Node, Path]:
    """The variable and the path of `a.b[0]`; of another expression itself, and an empty path."""
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    path: list[Key | None] = []
    at = node
    while isinstance(at, nodes.Getattr | nodes.Getitem):
        key = at.attr if isinstance(at, nodes.Getattr) else _jinja_constant(at.arg)
        if key is None:
            return node, ()
        path.insert(0, key)
        at = at.node
    return at, tuple(path)


def _jinja_constant(node: nodes.Node) -> Key | None:
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    match node:
        case nodes.Const(value=str() | int() as key) if not isinstance(key, bool):
            return key
        case nodes.Neg(node=nodes.Const(value=int(key))):
            return -key
    return None
