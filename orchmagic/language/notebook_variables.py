"""Puts the values of notebook variables into a cell's text: `--model {MODEL}`, `--model $MODEL`, `draft(model=MODEL)`.

The text with the values is the cell that is stored with a run, so a later resume does not look them up again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from enum import Enum
from types import ModuleType

from orchmagic.errors import CellError, Problem, nearest
from orchmagic.language.cell import Cell, Step
from orchmagic.language.scanner import pieces

_PLACE = re.compile(r"\{([^\W\d]\w*)((?:\.\w+|\[(?:\d+|'[^']*')\])*)\}|(?<![^\s=,])\$([^\W\d]\w*)(?=[\s,]|$)")
_PART = re.compile(r"\.(\w+)|\[(\d+)\]|\['([^']*)'\]")
_MODELS = ("model", "fallback")  # options of a step whose values are models


def filled_line(magic: str, line: str, namespace: Mapping[str, object]) -> str:
    """Returns the magic line with the value of each `{NAME}`, `{cfg.name}`, `{cfg['name']}` and `$NAME`.

    Raises:
        CellError: a variable is missing, or is no text, number, or list of them.
    """
    problems: list[Problem] = []
    source = f"%%{magic} {line}"

    def value(match: re.Match[str]) -> str:
        try:
            return _quoted(_shown(match.group(), _looked_up(match, namespace)), line, match)
        except LookupError as error:
            what = str(error.args[0])
        except TypeError as error:
            what = str(error)
        found, _, write = what.partition(": ")
        problems.append(Problem(1, len(source) - len(line) + match.start(), found, write, source))
        return match.group()

    filled = _PLACE.sub(value, line)
    if problems:
        raise CellError(problems)
    return filled


def filled_models(cell: Cell, namespace: Mapping[str, object], is_known: Callable[[str], bool]) -> str:
    """Returns the cell's body with the value of each variable that `model=` or `fallback=` names.

    Only texts and lists of texts are put in. A name that `is_known`, as an alias is, is no variable.

    Raises:
        CellError: a variable holds something else.
    """
    problems: list[Problem] = []
    lines = cell.body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for item in cell.items:
        options = item.options if isinstance(item, Step) else {}
        written = [options[name] for name in _MODELS if name in options]
        for value in sorted(written, key=lambda v: -v.column):
            head = lines[item.line - 2]
            if head.startswith(value.source, value.column):
                try:
                    new = _with_models(value.source, namespace, is_known)
                except TypeError as error:
                    found, _, write = str(error).partition(": ")
                    problems.append(Problem(item.line, value.column, found, write, head))
                    continue
                lines[item.line - 2] = head[: value.column] + new + head[value.column + len(value.source) :]
    if problems:
        raise CellError(sorted(problems, key=lambda p: (p.line, p.column)))
    return "\n".join(lines)


def _with_models(source: str, namespace: Mapping[str, object], is_known: Callable[[str], bool]) -> str:
    bracketed = source[:1] + source[-1:] in {"[]", "()"}
    words = [piece.strip() for _, piece in pieces(source[1:-1] if bracketed else source)]
    found = {w: _models(w, namespace[w]) for w in words if w.isidentifier() and w in namespace and not is_known(w)}
    if not found:
        return source
    filled = [model for word in words for model in found.get(word, [word])]
    return f"[{', '.join(filled)}]" if bracketed or len(filled) > 1 else filled[0]


def _models(name: str, value: object) -> list[str]:
    """The models in a variable, each in quotes; a TypeError says what to write."""
    if isinstance(value, ModuleType):  # a package may have the name of a model
        return [name]
    texts = [v.value if isinstance(v, Enum) else v for v in (value if isinstance(value, list | tuple) else [value])]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        what = f"of type {type(value).__name__}" if texts and texts != [""] else "empty"
        raise TypeError(f"the variable {name!r} is {what}: Put a model's name into it, or write '{name}' in quotes")
    return [repr(str(text)) for text in texts]


def _looked_up(match: re.Match[str], namespace: Mapping[str, object]) -> object:
    name = match.group(1) or match.group(3)
    if name not in namespace:
        near = nearest(name, (n for n in namespace if not n.startswith("_")))
        raise LookupError(f"{match.group()}, and the notebook has no variable {name!r}: Define it first{near}")
    value = namespace[name]
    for attribute, index, key in _PART.findall(match.group(2) or ""):
        try:
            value = _entry(value, attribute or key, int(index) if index else None)
        except (LookupError, AttributeError, TypeError):
            raise LookupError(f"{match.group()} is not there: Write what {name!r} has") from None
    return value


def _entry(value: object, name: str, index: int | None) -> object:
    if index is not None:
        return value[index]  # type: ignore[index]  # the caller handles what has no entries
    return value[name] if isinstance(value, Mapping) else getattr(value, name)


def _shown(place: str, value: object) -> str:
    """The text of a value on the magic line."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, list | tuple):
        return ",".join(_shown(place, one) for one in value)
    if isinstance(value, str | int | float | os.PathLike):
        return str(value)
    raise TypeError(f"{place} is of type {type(value).__name__}: A magic line takes text, numbers and lists of them")


def _quoted(text: str, line: str, match: re.Match[str]) -> str:
    """The text as the line can hold it: in quotes if it has spaces, without a line end or a place of its own."""
    if _PLACE.search(text) or "\n" in text or "\r" in text:
        raise TypeError(f"the value of {match.group()} has braces, a $ or a line end: Write it into the line itself")
    before = line[: match.start()]
    inside = next((q for q in "\"'" if re.sub(r"\\.", "", before).count(q) % 2), "")
    if inside == "'":
        if "'" in text:
            raise TypeError(f'the value of {match.group()} has a quote: Write the option in "…"')
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    if inside:
        return escaped
    return text if re.fullmatch(r"[\w./:+@,%=-]+", text) and not text.startswith("-") else f'"{escaped}"'
