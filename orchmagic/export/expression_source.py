"""Python expressions of a cell as source of a module: names changed, laid out as `ruff format` would.

What these rules cannot lay out is marked `# fmt: skip`: never wrong, only plain.
"""

from __future__ import annotations

import ast
import copy
import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Mapping

from orchmagic.export.formatting import STEP, fits, quoted

_OPPOSITES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_SKIP = "  # fmt: skip"
_BRACKETS: Mapping[type[ast.expr], tuple[str, str]] = {
    ast.List: ("[", "]"),
    ast.ListComp: ("[", "]"),
    ast.Tuple: ("(", ")"),
    ast.GeneratorExp: ("(", ")"),
    ast.Set: ("{", "}"),
    ast.SetComp: ("{", "}"),
    ast.Dict: ("{", "}"),
    ast.DictComp: ("{", "}"),
}


def read(source: str, rename: Mapping[str, str] | None = None) -> ast.expr:
    """The expression's tree, with the names of the cell changed to those of the module."""
    tree: ast.expr = _Renamed(rename or {}).visit(ast.parse(source.strip(), mode="eval").body)
    return tree


def flat(tree: ast.expr) -> str:
    """On one line."""
    return requoted(_unparsed(tree))


def _unparsed(tree: ast.expr) -> str:
    bare = _Bare()
    line = ast.unparse(bare.visit(copy.deepcopy(tree)))
    for name, generator in bare.found.items():
        line = line.replace(name, _unparsed(generator)[1:-1])
    return line


def opposite(tree: ast.expr) -> ast.expr:
    """False where `tree` is true; a comparison instead of a `not` where one says it."""
    match tree:
        case ast.Compare(left=left, ops=[op], comparators=right) if type(op) in _OPPOSITES:
            return ast.Compare(left, [_OPPOSITES[type(op)]()], right)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
    return ast.UnaryOp(ast.Not(), tree)


def lines(tree: ast.expr, before: str, after: str = "") -> list[str]:
    """A statement: `before` (which holds the indentation), the expression, `after`."""
    line = before + flat(tree) + after
    found = None if _is_odd(tree) else [line] if fits(line) else _opened(tree, before, after)
    return _remarked(found or _plainly(tree, before, after), tree, skip=not found)


def _remarked(rows: list[str], tree: ast.expr, *, skip: bool) -> list[str]:
    """Thresholds stay where the cell has them; the remark stands on their line, as for a line that is too long."""
    numbers = [re.compile(rf"(?<![\w.]){re.escape(flat(n))}(?![\w.])") for n in _thresholds(tree)]
    remarked = []
    rows = [*rows[:-1], rows[-1] + _SKIP] if skip else rows
    for row in rows:
        codes = [] if fits(row) else ["E501"]
        codes += ["PLR2004"] if any(n.search(row) for n in numbers) else []
        remarked.append(f"{row}  # noqa: {', '.join(codes)} - as in the cell" if codes else row)
    return remarked


def requoted(source: str) -> str:
    """The source with its strings in the formatter's quotes; all else stays."""
    lines = source.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type == tokenize.STRING and token.start[0] == token.end[0]:
            row, start, end = token.start[0] - 1, token.start[1], token.end[1]
            lines[row] = lines[row][:start] + _string(token.string) + lines[row][end:]
    return "\n".join(lines)


def _string(token: str) -> str:
    plain = token[0] in "'\"" and not token.startswith(('"""', "'''"))
    return quoted(ast.literal_eval(token)) if plain else token


class _Bare(ast.NodeTransformer):
    """Takes generators out that are a call's only argument: they need no parentheses of their own."""

    def __init__(self) -> None:
        self.found: dict[str, ast.GeneratorExp] = {}

    def visit_Call(self, node: ast.Call) -> ast.Call:
        match node:
            case ast.Call(args=[ast.GeneratorExp() as only], keywords=[]):
                name = f"__generator_{len(self.found)}__"
                self.found[name] = only
                node.args = [ast.Name(name)]
        self.generic_visit(node)
        return node


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._names.get(node.arg, node.arg)
        return node


def _is_odd(tree: ast.expr) -> bool:
    """Whether `ast.unparse` may write it in another way than the formatter."""
    return any(_is_odd_node(n) for n in ast.walk(tree))


def _is_odd_node(node: ast.AST) -> bool:
    match node:
        case ast.Pow() | ast.JoinedStr() | ast.NamedExpr():
            return True
        case ast.Attribute(value=ast.Constant(value=value)):
            return not isinstance(value, str)
        case ast.Lambda(args=args):
            return bool(args.defaults or args.kwonlyargs or args.posonlyargs or args.vararg or args.kwarg)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return not all(p is None or isinstance(p, ast.Name | ast.Constant) for p in (lower, upper, step))
        case ast.Constant(value=value):
            return isinstance(value, bytes | complex) or (isinstance(value, float) and "e" in repr(value))
    return False


def _thresholds(tree: ast.expr) -> list[ast.expr]:
    """Numbers that something else than a constant is compared with, but the integers 0 and 1."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if not any(_is_constant(a) and _is_constant(b) for a, b in itertools.pairwise(sides)):
                found += [s for s in sides if _is_threshold(_bare(s))]
    return found


def _bare(tree: ast.expr) -> ast.expr:
    return tree.operand if isinstance(tree, ast.UnaryOp) and not isinstance(tree.op, ast.Not) else tree


def _is_constant(tree: ast.expr) -> bool:
    return isinstance(_bare(tree), ast.Constant)


def _is_threshold(tree: ast.expr) -> bool:
    value = tree.value if isinstance(tree, ast.Constant) else None
    return isinstance(value, float) or (type(value) is int and value not in (0, 1))


def _plainly(tree: ast.expr, before: str, after: str) -> list[str]:
    """Without the formatter: a line, or the operands of `and` and `or` one below the other."""
    line = before + flat(tree) + after
    if not isinstance(tree, ast.BoolOp) or not before.strip() or before.rstrip().endswith("if"):
        return [line]
    indent = _indent(before)
    return [f"{before}(", *(f"{indent}{STEP}{r}" for r in _operands(tree)), f"{indent}){after}"]


def _indent(before: str) -> str:
    return before[: len(before) - len(before.lstrip())]


def _opened(tree: ast.expr, before: str, after: str) -> list[str] | None:
    """The outermost brackets opened, one element a line; None when that does not do."""
    match tree:
        case ast.Await(value=value):
            return _opened(value, f"{before}await ", after)
        case ast.Starred(value=value):
            return _opened(value, f"{before}*", after)
        case ast.Subscript(value=ast.Call() as value, slice=ast.Constant()):
            return _opened(value, before, f"[{flat(tree.slice)}]{after}")
    rows = _inside(tree, _indent(before) + STEP)
    if rows is None:
        return None
    opening, closing = _brackets(tree)
    found = [before + opening, *rows, _indent(before) + closing + after]
    return found if all(map(fits, found)) else None


def _brackets(tree: ast.expr) -> tuple[str, str]:
    return (f"{flat(tree.func)}(", ")") if isinstance(tree, ast.Call) else _BRACKETS.get(type(tree), ("(", ")"))


def _inside(tree: ast.expr, indent: str) -> list[str] | None:
    """The rows between the brackets; None when there is nothing to open."""
    match tree:
        case ast.BoolOp() | ast.IfExp():
            return [f"{indent}{row}" for row in _operands(tree)]
        case ast.Call(args=[ast.GeneratorExp() as only], keywords=[]):
            return _clauses(only, indent)
        case ast.Call(args=args, keywords=keywords) if args or keywords:
            named = [(f"{k.arg}=" if k.arg else "**", k.value) for k in keywords]
            return _elements([*(("", a) for a in args), *named], indent)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return _clauses(tree, indent)
    return _elements(found, indent) if (found := _parts(tree)) else None


def _parts(tree: ast.expr) -> list[tuple[str, ast.expr]]:
    """The elements of a literal, each with what stands before it."""
    match tree:
        case ast.List(elts=elements) | ast.Set(elts=elements) | ast.Tuple(elts=elements):
            return [("", e) for e in elements]
        case ast.Dict(keys=keys, values=values):
            return [(f"{flat(k)}: " if k else "**", v) for k, v in zip(keys, values, strict=True)]
    return []


def _operands(tree: ast.BoolOp | ast.IfExp) -> list[str]:
    """One below the other: the operands of `and` and `or`, the parts of a conditional."""
    if isinstance(tree, ast.BoolOp):
        word = "and" if isinstance(tree.op, ast.And) else "or"
        parts = [f"({flat(v)})" if isinstance(v, ast.BoolOp | ast.IfExp | ast.Lambda) else flat(v) for v in tree.values]
        return [parts[0], *(f"{word} {p}" for p in parts[1:])]
    rest = _operands(tree.orelse) if isinstance(tree.orelse, ast.IfExp) else [_operand(tree.orelse)]
    return [_operand(tree.body), f"if {_operand(tree.test)}", f"else {rest[0]}", *rest[1:]]


def _elements(pairs: Iterable[tuple[str, ast.expr]], indent: str) -> list[str] | None:
    rows: list[str] = []
    for before, tree in pairs:
        line = f"{indent}{before}{flat(tree)},"
        found = [line] if fits(line) else _opened(tree, indent + before, ",")
        if found is None:
            return None
        rows += found
    return rows


def _operand(tree: ast.expr) -> str:
    """In parentheses where a conditional could be read as a part of what stands around it."""
    return f"({flat(tree)})" if isinstance(tree, ast.IfExp | ast.Lambda) else flat(tree)


def _clauses(tree: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, indent: str) -> list[str] | None:
    """The parts of a comprehension: on one line, or each on its own."""
    if isinstance(tree, ast.DictComp):
        rows = [f"{indent}{flat(tree.key)}: {flat(tree.value)}"]
    else:
        head = indent + flat(tree.elt)
        rows = [head] if fits(head) else _opened(tree.elt, indent, "") or [head]
    for part in tree.generators:
        before = f"{indent}{'async ' if part.is_async else ''}for {flat(part.target)} in "
        line = before + _operand(part.iter)
        found = [line] if fits(line) else _opened(part.iter, before, "")
        if found is None:
            return None
        rows += [*found, *(f"{indent}if {_operand(test)}" for test in part.ifs)]
    whole = indent + " ".join(row.strip() for row in rows)
    return [whole] if fits(whole) and len(rows) == 1 + sum(1 + len(p.ifs) for p in tree.generators) else rows
