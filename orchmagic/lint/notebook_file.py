"""Reads the orchestrations of a notebook file without running it.

What the cells define is replaced by stand-ins: a function by one with the same parameters, a class by one with the same
fields, a literal by itself. Settings come from `%config OrchMagic.NAME = LITERAL` and the project.
"""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchmagic.core.model_entries import added
from orchmagic.errors import InputError, OrchError
from orchmagic.lint import notebook_stand_ins, of_session
from orchmagic.lint.linter import Report, lint, project_ignores
from orchmagic.lint.rule import LintFinding
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.session import Session

_CONFIG = "%config OrchMagic."


@dataclass(frozen=True, slots=True)
class CodeCell:
    """A code cell; `number` counts all cells from 1, `line` is that of its first line in the file."""

    number: int
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Located:
    """A finding, with its cell and its line in the file."""

    cell: CodeCell
    finding: LintFinding

    @property
    def line(self) -> int:
        """The line in the file."""
        return self.cell.line + self.finding.line - 1


@dataclass(frozen=True, slots=True)
class FileReport:
    """The report on a file. `broken` are orchestrations that cannot be read, `notes` what could not be checked."""

    path: Path
    found: tuple[Located, ...] = ()
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: int = 0


def report(path: Path) -> FileReport:
    """Returns the report on a notebook file.

    Raises:
        InputError: it is no notebook that can be read.
        SettingsError: what ignores rules is wrong.
    """
    cells = code_cells(path)
    book = _Book(path, "\n".join(c.source for c in cells if not c.source.startswith("%%")))
    try:
        for cell in cells:
            book.take(cell)
        return FileReport(path, tuple(book.found), tuple(book.broken), tuple(dict.fromkeys(book.notes)), book.ignored)
    finally:
        book.session.close()


def code_cells(path: Path) -> list[CodeCell]:
    """Returns the code cells of a notebook.

    Raises:
        InputError: the file is missing, or no notebook.
    """
    try:
        text = path.read_text("utf-8")
        cells = json.loads(text)["cells"]
        sources = [(n, "".join(c["source"])) for n, c in enumerate(cells, 1) if c["cell_type"] == "code"]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is no notebook ({type(error).__name__}): write the path of an .ipynb file") from None
    return list(_placed(sources, text.splitlines()))


def _placed(sources: Sequence[tuple[int, str]], lines: Sequence[str]) -> Iterator[CodeCell]:
    """Yields the cells with their lines in the file, where each line of a cell has a line of its own there."""
    at = 0
    for number, source in sources:
        head = json.dumps(source.partition("\n")[0], ensure_ascii=False)[:-1]
        found = next((i for i in range(at, len(lines)) if lines[i].strip().startswith(head)), None)
        at = at if found is None else found + 1
        yield CodeCell(number, source, at or 1)


class _Book:
    """A session in which the cells of one notebook are defined, one after the other."""

    def __init__(self, path: Path, code: str) -> None:
        self.names: dict[str, object] = {}
        self.config: dict[str, Any] = {}
        self.notes: list[str] = []
        self.found: list[Located] = []
        self.broken: list[str] = []
        self.ignored = 0
        self.session = Session(self.names, config=lambda: self.config, notify=self.notes.append)
        self._code = code
        self._passed = project_ignores(path.parent)

    def take(self, cell: CodeCell) -> None:
        """Reads a cell: an orchestration is checked, of other code the definitions are taken."""
        magic = cell.source.partition("\n")[0].removeprefix("%%").split(maxsplit=1)[:1]
        if cell.source.startswith("%%"):
            if magic and magic[0] in PATTERNS.names():
                self._orchestration(cell)
            return
        lines = cell.source.splitlines()
        for line in lines:
            self._line(line.strip(), cell)
        plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
        try:
            self.names.update(notebook_stand_ins.of_code(plain))
        except SyntaxError:
            self.notes.append(f"cell {cell.number} is no Python that can be read: what it defines is not known")

    def _line(self, line: str, cell: CodeCell) -> None:
        if line.startswith(_CONFIG):
            name, _, value = line.removeprefix(_CONFIG).partition("=")
            try:
                self.config[name.strip()] = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError):
                self.notes.append(f"cell {cell.number}: {line} is no literal, so that setting is not known")
            self.session.reload()
        elif line.startswith("%orch models add "):
            with suppress(OrchError, ValueError):  # the notebook itself will say what is wrong
                self.session.add_models(added(shlex.split(line)[3:]))

    def _orchestration(self, cell: CodeCell) -> None:
        head, _, body = cell.source.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        try:
            made = self.session.define(magic, line, body)
        except OrchError as error:
            self.broken.append(f"cell {cell.number} cannot be read: {_one_line(error)}")
            return
        if made.options.name:
            self.names[made.options.name] = made
        one: Report = lint(of_session.subject(self.session, made, history=False, code=self._code), self._passed)
        self.found += [Located(cell, finding) for finding in one.findings]
        self.notes += one.notes
        self.ignored += one.ignored


def _one_line(error: OrchError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line and not line.startswith(" "))


def as_json(one: FileReport) -> Mapping[str, Any]:
    """Returns the report as JSON data."""
    findings = [
        {
            "cell": at.cell.number,
            "line": at.line,
            "name": at.finding.name,
            "cell_line": at.finding.line,
            "rule": at.finding.rule,
            "title": at.finding.title,
            "text": at.finding.text,
            "write": at.finding.write,
        }
        for at in one.found
    ]
    return {
        "file": str(one.path),
        "findings": findings,
        "broken": [*one.broken],
        "not_checked": [*one.notes],
        "ignored": one.ignored,
    }
