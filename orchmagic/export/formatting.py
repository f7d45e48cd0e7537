"""Literals, calls and long texts laid out as `ruff format` would: modules are formatted without the formatter.

Lines are lists of source lines of at most 88 columns; `indent` stands in front of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

WIDTH = 88
STEP = "    "


def fits(line: str) -> bool:
    """Whether the line stays within the width."""
    return columns(line) <= WIDTH


def columns(text: str) -> int:
    """How wide the text is; characters of East Asia and most pictures take two columns."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def quoted(text: str) -> str:
    """A string literal: double quotes, unless single ones need fewer backslashes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + _escaped(text, quote) + quote


def _escaped(text: str, quote: str) -> str:
    return "".join(f"\\{c}" if c == quote else c if c in "\"'" else repr(c)[1:-1] for c in text)


def literal(value: object) -> str:
    """A JSON-like constant as source; sets are sorted, so that the bytes are the same every time."""
    match value:
        case str():
            return quoted(value)
        case dict():
            return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            one = isinstance(value, tuple) and len(value) == 1
            opening, closing = _brackets(value)
            return f"{opening}{', '.join(map(literal, value))}{',' if one else ''}{closing}"
        case set() | frozenset() if value:
            opening, closing = _brackets(value)
            return f"{opening}{', '.join(sorted(map(literal, value)))}{closing}"
        case _:
            return repr(value)


def assigned(name: str, value: object, indent: str = "") -> list[str]:
    """`name = constant`, broken where it is too long."""
    before = f"{indent}{name} = "
    return texts(before, [value], "") if isinstance(value, str) else constant(before, value, "")


def remarked(lines: list[str], remark: str) -> list[str]:
    """The lines with a remark: behind one that has room, else above the first."""
    behind = f"{lines[0]}  # {remark}"
    return [behind] if len(lines) == 1 and fits(behind) else [f"# {remark[0].upper()}{remark[1:]}.", *lines]


def constant(before: str, value: object, after: str) -> list[str]:
    """A constant after `before` (which holds the indentation), its brackets opened when it is too long."""
    line = before + literal(value) + after
    if fits(line) or not isinstance(value, dict | list | tuple | set | frozenset) or not value:
        return [line]
    indent = before[: len(before) - len(before.lstrip())]
    opening, closing = _brackets(value)
    rows: list[str] = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            rows += _element(f"{indent}{STEP}{literal(key)}: ", item)
    else:
        items = value if isinstance(value, list | tuple) else sorted(value, key=literal)
        for item in items:
            rows += _element(f"{indent}{STEP}", item)
    return [before + opening, *rows, indent + closing + after]


def _element(before: str, value: object) -> list[str]:
    return texts(before, [value], ",") if isinstance(value, str) else constant(before, value, ",")


def _brackets(value: object) -> tuple[str, str]:
    match value:
        case list():
            return "[", "]"
        case tuple():
            return "(", ")"
        case frozenset():
            return "frozenset({", "})"
    return "{", "}"


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


def texts(before: str, parts: Sequence[str | Filled], after: str) -> list[str]:
    """One string, after `before` (which holds the indentation): a literal, or several one below the other."""
    whole = before + _joined(parts) + after
    if fits(whole):
        return [whole]
    indent = before[: len(before) - len(before.lstrip())]
    rows = list(_rows(parts, WIDTH - len(indent) - len(STEP)))
    if fits(f"{indent}{STEP}{_joined(parts)}"):
        rows = [list(parts)]
    elif len(rows) == 1:
        return [whole]
    return [f"{before}(", *(f"{indent}{STEP}{_joined(row)}" for row in rows), f"{indent}){after}"]


def _joined(parts: Sequence[str | Filled]) -> str:
    """All parts as one literal."""
    if not any(isinstance(p, Filled) for p in parts):
        return quoted("".join(map(str, parts)))
    plain = "".join(p for p in parts if isinstance(p, str))
    quote, other = ("'", '"') if plain.count('"') > plain.count("'") else ('"', "'")
    inside = (
        f"{{{p.source.replace(quote, other)}}}" if isinstance(p, Filled) else _braced(_escaped(p, quote)) for p in parts
    )
    return f"f{quote}{''.join(inside)}{quote}"


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _rows(parts: Sequence[str | Filled], width: int) -> Iterator[list[str | Filled]]:
    """Parts cut into rows: after every line end, and before the word that does not fit any more."""
    row: list[str | Filled] = []
    for atom in _atoms(parts, width):
        if row and columns(_joined([*row, atom])) > width:
            yield row
            row = []
        row.append(atom)
        if isinstance(atom, str) and atom.endswith("\n"):
            yield row
            row = []
    if row:
        yield row


def _atoms(parts: Sequence[str | Filled], width: int) -> Iterator[str | Filled]:
    """Words with the white space behind them; words that no row could hold are cut."""
    for part in parts:
        if isinstance(part, Filled):
            yield part
            continue
        for line in part.splitlines(keepends=True) if "\n" in part else [part]:
            for word in _words(line):
                yield from _slices(word, width)


def _words(line: str) -> Iterator[str]:
    start = 0
    for at, character in enumerate(line[:-1]):
        if character == " " and line[at + 1] != " " and line[at + 1] != "\n":
            yield line[start : at + 1]
            start = at + 1
    if line[start:]:
        yield line[start:]


def _slices(word: str, width: int) -> Iterator[str]:
    size = 0
    start = 0
    for at, character in enumerate(word):
        one = columns(_braced(_escaped(character, '"')))
        if size + one > width - len('f""'):
            yield word[start:at]
            start, size = at, 0
        size += one
    yield word[start:]
