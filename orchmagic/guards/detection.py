"""What a guard finds in a text as it is written, and as it is meant if it holds escapes of JSON."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from orchmagic.guards import Finding, Guard
from orchmagic.guards.normalize import unescaped


def find(guard: Guard, text: str) -> list[Finding]:
    """The findings, in the order of the guard. Of two that overlap in different forms of the text the wider counts."""
    written = _clipped(guard.find(text), text)
    meant = [f for form in unescaped(text) for f in form.to_original(_clipped(guard.find(form.text), form.text))]
    return _widest([*written, *meant]) if meant else written


def _clipped(findings: Iterable[Finding], text: str) -> list[Finding]:
    """The findings inside the text, without those that are empty."""
    inside = (Finding(max(0, f.start), min(len(text), f.end), f.what) for f in findings)
    return [f for f in inside if f.start < f.end]


def _widest(findings: Iterable[Finding]) -> list[Finding]:
    """Those that lie in no other."""
    widest: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.start, -f.end)):
        if not widest or finding.end > widest[-1].end:
            widest.append(finding)
    return widest


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """Of findings that overlap the first one given; in the order of the text."""
    accepted: list[Finding] = []  # sorted, no two overlap: only the neighbours of an index can overlap it
    for finding in findings:
        index = bisect_right(accepted, finding)
        overlaps_previous = index > 0 and accepted[index - 1].end > finding.start
        if not overlaps_previous and not (index < len(accepted) and accepted[index].start < finding.end):
            accepted.insert(index, finding)
    return accepted
