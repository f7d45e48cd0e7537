"""Source text of a module: literals and statements in a plain layout, then the layout of `ruff` where it is installed.

Lines are lists of source lines; `indent`, or what a `before` begins with, stands in front of each.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 88
STEP = "    "
_TEXT_WIDTH = 72  # of one row of a long text: the indentation and the quotes have room
_RUFF = ("--isolated", "--no-cache", "--quiet", "--target-version=py311")
_FIX = ("check", "--fix-only", "--select=I,UP034", "--config=src=[]")  # imports sorted, no doubled parentheses


def formatted(source: str) -> str:
    """The module as `ruff format` lays it out; as it is where ruff is not installed."""
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
    """The program `ruff`, beside this Python's own or on the path; None where there is none."""
    return shutil.which("ruff", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))


def fits(line: str) -> bool:
    """Whether the line stays within the width."""
    return len(line) <= WIDTH


def literal(value: object) -> str:
    """A JSON-like constant as source; sets are sorted, so that the bytes are the same every time."""
    match value:
        case str():
            return f'"{value}"' if re.fullmatch(r"[\w .,:-]*", value, re.ASCII) else repr(value)
        case dict():
            return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case tuple():
            return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
        case set() | frozenset() if value:
            items = f"{{{', '.join(sorted(map(literal, value)))}}}"
            return f"frozenset({items})" if isinstance(value, frozenset) else items
        case _:
            return repr(value)


def assigned(name: str, value: object, indent: str = "") -> list[str]:
    """`name = constant`; a long text has a row for each of its lines, a long dict a row for each key."""
    before = f"{indent}{name} = "
    if isinstance(value, str):
        return texts(before, [value])
    if isinstance(value, dict):
        return call(before + "{", [f"{literal(k)}: {_nested(v)}" for k, v in value.items()], "}")
    return [before + literal(value)]


def _nested(value: object) -> str:
    return "\n".join(texts("", [value])) if isinstance(value, str) else literal(value)


def remarked(lines: list[str], remark: str) -> list[str]:
    """The lines with a remark: behind one that has room, else above the first."""
    behind = f"{lines[0]}  # {remark}"
    return [behind] if len(lines) == 1 and fits(behind) else [f"# {remark[0].upper()}{remark[1:]}.", *lines]


def call(before: str, arguments: Sequence[str], after: str) -> list[str]:
    """A call or a signature: `before` ends with its opening bracket, `after` begins with the closing one."""
    line = before + ", ".join(arguments) + after
    if fits(line) or not arguments:
        return [line]
    indent = before[: len(before) - len(before.lstrip())]
    return [before, *(f"{indent}{STEP}{a}," for a in arguments), indent + after]


@dataclass(frozen=True, slots=True)
class Filled:
    """A place in a text that an expression fills in; its own strings hold no quotes, braces or backslashes."""

    source: str


def texts(before: str, parts: Sequence[str | Filled]) -> list[str]:
    """One string, after `before` (which holds the indentation): a literal, or several one below the other."""
    whole = before + _joined(parts)
    rows = list(_rows(parts))
    if fits(whole) or len(rows) == 1:
        return [whole]
    indent = before[: len(before) - len(before.lstrip())]
    return [f"{before}(", *(f"{indent}{STEP}{_joined(row)}" for row in rows), f"{indent})"]


def _joined(parts: Sequence[str | Filled]) -> str:
    """All parts as one literal."""
    if not any(isinstance(p, Filled) for p in parts):
        return literal("".join(map(str, parts)))
    plain = "".join(p for p in parts if isinstance(p, str))
    quote, other = ("'", '"') if plain.count('"') > plain.count("'") else ('"', "'")
    inside = (f"{{{p.source.replace(quote, other)}}}" if isinstance(p, Filled) else _escaped(p, quote) for p in parts)
    return f"f{quote}{''.join(inside)}{quote}"


def _escaped(text: str, quote: str) -> str:
    """Text between the quotes of an f-string."""
    characters = (f"\\{c}" if c == quote else c if c in "\"'" else repr(c)[1:-1] for c in text)
    return "".join(characters).replace("{", "{{").replace("}", "}}")


def _rows(parts: Sequence[str | Filled]) -> Iterator[list[str | Filled]]:
    """Parts cut into rows: after every line end, and before the word that does not fit any more."""
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
