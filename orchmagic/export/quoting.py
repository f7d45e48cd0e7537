"""Quotes every text that a module holds: no text of a cell, a setting or an endpoint can leave its string.

    literal      a constant: text, numbers, containers of them
    docstring    the lines of a docstring, between triple quotes
    comment      the rest of a line after `#`
    in_f_string  the plain parts of an f-string

Control characters, line ends inside a line and marks that change the direction of text are written as escapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from orchmagic.errors import ExportError

_PLAIN = re.compile(r"[\w .,:-]*", re.ASCII)


def literal(value: object) -> str:
    """Returns the source of a constant; sets are sorted, so that the output is deterministic.

    Only the values of Python's own types are written, never what an object says that it is.

    Raises:
        ExportError: no literal can represent the value.
    """
    match value:
        case dict():
            return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case tuple():
            return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
        case set() | frozenset():
            kind = "set" if isinstance(value, set) else "frozenset"
            items = f"{{{', '.join(sorted(map(literal, value)))}}}" if value else ""
            return items if items and kind == "set" else f"{kind}({items})"
    return _single(value)


def _single(value: object) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        text = str.__str__(value)
        return f'"{text}"' if _PLAIN.fullmatch(text) else repr(text)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    raise ExportError(f"a {type(value).__name__} cannot be written into a module: write text, numbers or lists of them")


def docstring(rows: Iterable[str]) -> list[str]:
    """Returns the rows of a docstring with its quotes; the closing ones stand alone if there are several rows."""
    body = [_escaped(row) for row in rows]
    body = [row.replace('"', r"\"") if '"""' in row or row.endswith('"') else row for row in body]
    return [f'"""{body[0]}"""'] if len(body) == 1 else [f'"""{body[0]}', *body[1:], '"""']


def summary(text: str) -> str:
    """Returns the docstring of one line of a function, with the indentation of its body."""
    return f"    {docstring([text])[0]}"


def comment(text: str) -> str:
    """Returns the text of a comment; it stays on its line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def in_f_string(text: str, quote: str) -> str:
    """Returns the text as a part of an f-string with this quote."""
    characters = (f"\\{c}" if c == quote else c if c in "\"'" else _escaped(c) for c in text)
    return "".join(characters).replace("{", "{{").replace("}", "}}")


def _escaped(text: str) -> str:
    """Writes a backslash and all that is not printable as Python's escapes."""
    return "".join(c if c.isprintable() and c != "\\" else repr(c)[1:-1] for c in text)
