"""Applies all rules to an orchestration."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from orchmagic.core.text_format import counted
from orchmagic.errors import SettingsError
from orchmagic.lint import ignoring
from orchmagic.lint.rule import LintFinding, LintRule
from orchmagic.lint.rulebook import RULES
from orchmagic.lint.subject import LintSubject


@dataclass(frozen=True, slots=True)
class Report:
    """What the rules found, and `notes` on what could not be checked."""

    findings: tuple[LintFinding, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: int = 0

    def __add__(self, other: Report) -> Report:
        """Joins two reports."""
        return Report(self.findings + other.findings, self.notes + other.notes, self.ignored + other.ignored)

    def text(self) -> str:
        """Returns a line per finding and per note, then a sum."""
        lines = [*map(str, self.findings), *(f"not checked: {note}" for note in self.notes)]
        ignored = f", {self.ignored} ignored" if self.ignored else ""
        return "\n".join([*lines, f"{counted(len(self.findings), 'finding')}{ignored}."])


def rules() -> tuple[LintRule, ...]:
    """Returns all rules by id."""
    return tuple(sorted(RULES, key=lambda rule: rule.id))


def project_ignores(start: Path) -> Collection[str]:
    """Returns the rules that the project of folder `start` ignores.

    Raises:
        SettingsError: its table of the linter is wrong.
    """
    return ignoring.in_project(start, [rule.id for rule in rules()])


def lint(subject: LintSubject, ignored: Iterable[str] = ()) -> Report:
    """Returns the report on one orchestration. A rule whose models cannot be resolved becomes a note.

    Raises:
        SettingsError: a comment of the cell that ignores a rule is wrong.
    """
    known = rules()
    passed = {*ignored, *ignoring.in_cell(subject.graph.source, [rule.id for rule in known])}
    name, findings, notes = subject.graph.name, list[LintFinding](), dict[str, list[str]]()
    for rule in known:
        try:
            found = list(rule.check(subject))
        except SettingsError as error:
            if rule.id not in passed:
                notes.setdefault(str(error), []).append(rule.id)
            continue
        findings += [
            LintFinding(name, subject.line(f.step), rule.id, rule.name, f.text, f.write, f.fix) for f in found
        ]  # fmt: skip
    kept = [f for f in findings if f.rule not in passed]
    return Report(
        tuple(sorted(kept, key=lambda f: (f.line, f.rule))),
        tuple(f"{name} {', '.join(ids)}: {why}" for why, ids in notes.items()),
        len(findings) - len(kept),
    )


def fixed(subject: LintSubject, report: Report) -> str | None:
    """Returns the text of the cell with all mechanical fixes; None if there is none."""
    source, fixes = subject.graph.source, [f.fix for f in report.findings if f.fix is not None]
    for fix in fixes:
        source = fix(source)
    return source if fixes else None
