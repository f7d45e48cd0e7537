"""Runs a guard on a text and on its JSON-unescaped forms, and merges the findings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from orchmagic.guards import Finding, Guard
from orchmagic.guards.normalize import unescaped


def find(guard: Guard, text: str) -> list[Finding]:
    """Return the guard's findings in `text`. With findings in unescaped forms, those inside a wider one are dropped."""
    written = _clipped(guard.find(text), text)
    meant = [f for form in unescaped(text) for f in form.to_original(_clipped(guard.find(form.text), form.text))]
    return _widest([*written, *meant]) if meant else written


def _clipped(findings: Iterable[Finding], text: str) -> list[Finding]:
    """Cut findings to the bounds of the text, and drop empty ones."""
    inside = (Finding(max(0, f.start), min(len(text), f.end), f.what) for f in findings)
    return [f for f in inside if f.start < f.end]


def _widest(findings: Iterable[Finding]) -> list[Finding]:
    """Drop findings that lie inside another one; the rest in text order."""
    widest: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.start, -f.end)):
        if not widest or finding.end > widest[-1].end:
            widest.append(finding)
    return widest


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """Drop each finding that overlaps an earlier one of the input; the rest in text order."""
    accepted: list[Finding] = []  # sorted, no two overlap: only the neighbours of an index can overlap it
    for finding in findings:
        index = bisect_right(accepted, finding)
        overlaps_previous = index > 0 and accepted[index - 1].end > finding.start
        if not overlaps_previous and not (index < len(accepted) and accepted[index].start < finding.end):
            accepted.insert(index, finding)
    return accepted
