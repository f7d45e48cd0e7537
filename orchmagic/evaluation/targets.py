"""Targets: `right >= 0.85 and cost <= 0.004`, and whether the scores of a variant are shown to meet them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from orchmagic.errors import InputError, nearest

Verdict: TypeAlias = Literal["meets", "misses", "not shown"]
_SIGNS = {ast.GtE: ">=", ast.Gt: ">", ast.LtE: "<=", ast.Lt: "<"}
_MIRRORED = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}
_FORM = "write target right >= 0.85, or several with `and`"


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a target: `metric` compared with a number. `floor`: it is a lower limit."""

    metric: str
    sign: str
    limit: float

    @property
    def floor(self) -> bool:
        return self.sign in {">=", ">"}

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.limit:g}"

    def holds(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value >= self.limit if self.floor else value <= self.limit


@dataclass(frozen=True, slots=True)
class Target:
    """All conditions must be met."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


def parse_target(source: str) -> Target:
    """Reads a target.

    Raises:
        InputError: it is not comparisons of metrics with numbers, joined by `and`.
    """
    return Target(tuple(condition for part in _parts(_tree(source)) for condition in _conditions(part, source)))


def with_expressions(source: str, taken: Iterable[str] = ()) -> tuple[dict[str, str], str]:
    """Splits a target such as `(router.label == team) >= 0.85` into metrics by name, and a target that names them.

    The expressions are called `right`, `right_2` …, without names that are `taken`.

    Raises:
        InputError: it is not comparisons with numbers, joined by `and`.
    """
    tree, used = _tree(source), {*taken}
    found: dict[str, str] = {}

    def named(node: ast.expr) -> ast.expr:
        if _number(node) is not None or _metric(node) is not None:
            return node
        names = ("right", *(f"right_{n}" for n in range(2, len(used) + len(found) + 3)))
        name = next(n for n in names if n not in used and n not in found)
        found[name] = ast.unparse(node)
        return ast.Name(name, ast.Load())

    for part in _parts(tree):
        if not isinstance(part, ast.Compare):
            continue
        if all(type(sign) in _SIGNS for sign in part.ops):
            part.left, part.comparators = named(part.left), [*map(named, part.comparators)]
        elif len(part.ops) > 1:
            write = "write brackets, as in (output == team) >= 0.85"
            raise InputError(f"target {source}: Python reads {ast.unparse(part)} as two comparisons: {write}")
    return found, ast.unparse(tree)


def _tree(source: str) -> ast.expr:
    try:
        return ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise InputError(f"target {source} is no comparison: {_FORM}") from None


def _parts(tree: ast.expr) -> list[ast.expr]:
    return tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]


def _conditions(node: ast.expr, source: str) -> Iterable[Condition]:
    if not isinstance(node, ast.Compare):
        raise InputError(f"target {source}: {ast.unparse(node)} is no comparison with a number: {_FORM}")
    sides = [node.left, *node.comparators]
    for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
        sign, (name, number) = _SIGNS.get(type(operator)), (_metric(left), _number(right))
        if name is None:
            name, number, sign = _metric(right), _number(left), _MIRRORED.get(sign or "")
        if sign is None or name is None or number is None:
            text = f"{ast.unparse(node)} is no comparison of a metric with a number by >= or <="
            raise InputError(f"target {source}: {text}: {_FORM}")
        yield Condition(name, sign, number)


def _metric(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := _metric(node.value)):
        return f"{inner}.{node.attr}"
    return None


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def check_names(target: Target, known: Iterable[str]) -> None:
    """Checks that the target names metrics that there are.

    Raises:
        InputError: it does not.
    """
    names = [*known]
    for condition in target.conditions:
        if condition.metric not in names:
            close = nearest(condition.metric, names)
            raise InputError(
                f"target {condition}: there is no metric {condition.metric!r} (metrics: {', '.join(names)}){close}"
            )
