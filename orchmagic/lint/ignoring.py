"""What is ignored: `# orch: ignore OM105 reason` in a cell, and `ignore` in [tool.orchmagic.lint] of the project.

An entry of the project is written like the comment: `ignore = ["OM104 the notebooks answer from a script"]`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchmagic.core import project
from orchmagic.errors import SettingsError, nearest

_COMMENT = re.compile(r"^# *orch: *ignore\b(.*)$", re.MULTILINE)
_RULE = re.compile(r"OM\d+")
_KEYS = ("ignore",)


def in_cell(source: str, known: Iterable[str]) -> dict[str, str]:
    """Returns the rules that a cell ignores, with their reasons.

    Raises:
        SettingsError: a comment names no rule, an unknown one, or gives no reason.
    """
    head = source.partition("\n")[0]
    lines = ((found[1], f"{head!r}: `{found[0].strip()}`") for found in _COMMENT.finditer(source))
    return dict(pair for text, where in lines for pair in _read(text, where, known))


def in_project(start: Path, known: Iterable[str]) -> dict[str, str]:
    """Returns the rules that the project of folder `start` ignores, with their reasons.

    Raises:
        SettingsError: the table is wrong: where, what was found, what to write.
    """
    file = project.nearest("pyproject.toml", start)
    if file is None:
        return {}
    where = f"[tool.orchmagic.lint] of {file.path}"
    table = _table(file.text, where)
    for key in table:
        if key not in _KEYS:
            raise SettingsError(f'{where}: {key} is unknown: write ignore = ["OM105 why"]{nearest(key, _KEYS)}')
    ignored = table.get("ignore", [])
    if not isinstance(ignored, list) or not all(isinstance(text, str) for text in ignored):
        raise SettingsError(f'{where}: ignore is {ignored!r}: write a list of texts, ignore = ["OM105 why"]')
    return dict(pair for text in ignored for pair in _read(text, f"{where}: {text!r}", known))


def _table(text: str, where: str) -> Mapping[str, Any]:
    found: Any
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where} cannot be read: {error}") from None
    for key in ("tool", "orchmagic", "lint"):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        raise SettingsError(f"{where} is {found!r}: write a table")
    return found


def _read(text: str, where: str, known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields (rule, reason) of a text such as `OM105 OM108 only one model is allowed here`."""
    words = text.split()
    rules = [word.rstrip(",:") for word in words if _RULE.fullmatch(word.rstrip(",:"))]
    reason = " ".join(words[len(rules) :])
    if not rules or words[: len(rules)] != [w for w in words if _RULE.fullmatch(w.rstrip(",:"))]:
        raise SettingsError(f"{where} names no rule: write the rule, then the reason: OM105 only one model is allowed")
    for rule in rules:
        if rule not in known:
            raise SettingsError(f"{where}: there is no rule {rule} (known: {', '.join(known)})")
    if not reason:
        raise SettingsError(f"{where} gives no reason: write why after the rule: {rules[0]} only one model is allowed")
    yield from ((rule, reason) for rule in rules)
