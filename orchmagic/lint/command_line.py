"""`python -m orchmagic lint NOTEBOOK … [--format text|json|github]`: prints what the rules find."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from orchmagic.core.text_format import counted
from orchmagic.errors import OrchError
from orchmagic.lint.notebook_file import FileReport, as_json, report

# ruff: noqa: T201 - a command line


def main(notebooks: Sequence[Path], form: str) -> int:
    """Checks the notebooks; returns 0 if nothing was found, 1 for findings, 2 for a file that cannot be read."""
    reports: list[FileReport] = []
    for path in notebooks:
        try:
            reports.append(report(path))
        except OrchError as error:
            print(error, file=sys.stderr)
            return 2
    for line in FORMATS[form](reports):
        print(line)
    return 1 if any(one.found or one.broken for one in reports) else 0


def _text(reports: Sequence[FileReport]) -> Iterator[str]:
    for one in reports:
        yield from (f"{one.path}: cell {at.cell.number}: {at.finding}" for at in one.found)
        yield from (f"{one.path}: {broken}" for broken in one.broken)
        yield from (f"{one.path}: not checked: {note}" for note in one.notes)
    ignored = sum(one.ignored for one in reports)
    found = counted(sum(len(one.found) for one in reports), "finding")
    yield f"{found}{f', {ignored} ignored' if ignored else ''}."


def _json(reports: Sequence[FileReport]) -> Iterator[str]:
    yield json.dumps([as_json(one) for one in reports], indent=2, ensure_ascii=False)


def _github(reports: Sequence[FileReport]) -> Iterator[str]:
    """Yields workflow commands, which GitHub shows at the lines of a pull request."""
    for one in reports:
        for at in one.found:
            title = f"{at.finding.rule} {at.finding.title}"
            yield f"::warning file={_property(one.path)},line={at.line},title={title}::{_data(str(at.finding))}"
        yield from (f"::error file={_property(one.path)}::{_data(broken)}" for broken in one.broken)
        yield from (f"::notice file={_property(one.path)}::{_data(f'not checked: {note}')}" for note in one.notes)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(path: Path) -> str:
    return _data(str(path)).replace(":", "%3A").replace(",", "%2C")


FORMATS: Mapping[str, Callable[[Sequence[FileReport]], Iterator[str]]] = {
    "text": _text,
    "json": _json,
    "github": _github,
}
