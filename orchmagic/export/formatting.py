"""Formats source text of a module: literals and statements in a plain layout, then `ruff format` if installed.

Functions return lists of source lines; each line begins with `indent`, or with the indentation of `before`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchmagic.export.quoting import comment, in_f_string, literal

WIDTH = 88
STEP = "    "
_TEXT_WIDTH = 72  # of one row of a long text, without indentation and quotes
_RUFF = ("--isolated", "--no-cache", "--quiet", "--target-version=py311")
_FIX = ("check", "--fix-only", "--select=I,UP034", "--config=src=[]")  # imports sorted, no doubled parentheses


def formatted(source: str) -> str:
    """Returns the module as formatted by ruff, or unchanged if ruff is not installed or fails."""
    ruff = find_ruff()
    if ruff is None:
        return source
    for command in (_FIX, ("format",)):
        done = subprocess.run(  # noqa: S603 - ruff, found where programs are found
            [ruff, *command, *_RUFF, "--stdin-filename=module.py", "-"],
            input=source.encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return source
        source = done.stdout.decode()
    return source


def find_ruff() -> str | None:
    """Returns the path of `ruff`, from this Python's scripts folder or PATH; None if it is not installed."""
    return shutil.which("ruff", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))


def fits(line: str) -> bool:
    return len(line) <= WIDTH


def assigned(name: str, value: object, indent: str = "") -> list[str]:
    """Returns `name = constant`, with one row per line of a long text and per key of a long dict."""
    before = f"{indent}{name} = "
    if isinstance(value, str):
        return texts(before, [value])
    if isinstance(value, dict):
        return call(before + "{", [f"{literal(k)}: {_nested(v)}" for k, v in value.items()], "}")
    return [before + literal(value)]


def _nested(value: object) -> str:
    return "\n".join(texts("", [value])) if isinstance(value, str) else literal(value)


def remarked(lines: list[str], remark: str) -> list[str]:
    """Adds a comment: at the end of a single line if it fits, else above the first line."""
    remark = comment(remark)
    behind = f"{lines[0]}  # {remark}"
    return [behind] if len(lines) == 1 and fits(behind) else [f"# {remark[0].upper()}{remark[1:]}.", *lines]


def call(before: str, arguments: Sequence[str], after: str) -> list[str]:
    """Returns a call or signature; `before` ends with the opening bracket, `after` begins with the closing one."""
    line = before + ", ".join(arguments) + after
    if fits(line) or not arguments:
        return [line]
    indent = before[: len(before) - len(before.lstrip())]
    return [before, *(f"{indent}{STEP}{a}," for a in arguments), indent + after]


@dataclass(frozen=True, slots=True)
class Filled:
    """An expression inside an f-string; its own strings contain no quotes, braces or backslashes."""

    source: str


def texts(before: str, parts: Sequence[str | Filled]) -> list[str]:
    """Returns a string after `before` (which has the indentation): one literal, or several on separate lines."""
    whole = before + _joined(parts)
    rows = list(_rows(parts))
    if fits(whole) or len(rows) == 1:
        return [whole]
    indent = before[: len(before) - len(before.lstrip())]
    return [f"{before}(", *(f"{indent}{STEP}{_joined(row)}" for row in rows), f"{indent})"]


def _joined(parts: Sequence[str | Filled]) -> str:
    """Returns all parts as one string literal or f-string."""
    if not any(isinstance(p, Filled) for p in parts):
        return literal("".join(map(str, parts)))
    plain = "".join(p for p in parts if isinstance(p, str))
    quote, other = ("'", '"') if plain.count('"') > plain.count("'") else ('"', "'")
    inside = (
        f"{{{p.source.replace(quote, other)}}}" if isinstance(p, Filled) else in_f_string(p, quote) for p in parts
    )
    return f"f{quote}{''.join(inside)}{quote}"


def _rows(parts: Sequence[str | Filled]) -> Iterator[list[str | Filled]]:
    """Splits the parts into rows: after every line end, and before a word that does not fit."""
    row: list[str | Filled] = []
    size = 0
    words = (
        w for p in parts for w in ([p] if isinstance(p, Filled) else re.findall(r"\S*[^\S\n]*\n|\S*[^\S\n]+|\S+", p))
    )
    for word in words:
        length = len(word.source) + 2 if isinstance(word, Filled) else len(word)
        if row and size + length > _TEXT_WIDTH:
            yield row
            row, size = [], 0
        row.append(word)
        size += length
        if isinstance(word, str) and word.endswith("\n"):
            yield row
            row, size = [], 0
    if row:
        yield row
