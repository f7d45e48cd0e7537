"""`%orch advise`: which pattern to use, by the first rule whose figures hold; and what to add next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchmagic.core.text_format import counted, table
from orchmagic.errors import SettingsError
from orchmagic.graph.model import Branch, Code
from orchmagic.graph.parts import calls, parts
from orchmagic.lint.choosing import QUESTIONS, Answer, answers, cell_of
from orchmagic.lint.rulebook import agent_not_needed, no_fallback
from orchmagic.lint.subject import LintSubject
from orchmagic.views.html_table import html_table

_IN_GRID = frozenset({"chain", "route", "cascade", "react", "plan", "team"})
"""The patterns that the table of four may replace: others answer to questions that it does not ask."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised. `choice` is what to use, `why` the figures; `next_step` is what to add first.

    `grid` is the cell of the table of predictability and costs, None if an answer is unknown.
    """

    name: str
    choice: str
    why: str
    grid: tuple[str, str] | None
    answers: Mapping[str, Answer]
    next_step: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    evidence: str = ""

    def __repr__(self) -> str:
        blocks = [self._head(), table(self._questions()), f"Predictable and asymmetric: {self._cell()}"]
        if self.next_step:
            blocks.append(f"Next: {self.next_step}")
        if self.parts:
            blocks.append(table([("part", "what it has"), *self.parts]))
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        from orchmagic.trace.humanize import BLOCK, safe  # noqa: PLC0415 - only a notebook needs it

        texts = [self._head(), f"Predictable and asymmetric: {self._cell()}", f"Next: {self.next_step}"]
        head, cell, following = (f"<div>{safe(text)}</div>" for text in texts)
        below = f"{following}{html_table([('part', 'what it has'), *self.parts])}" if self.parts else ""
        return f"<div {BLOCK}>{head}{html_table(self._questions())}{cell}{below}</div>"

    def _head(self) -> str:
        about = f"{self.name}: {self.evidence}\n" if self.evidence else ""
        return f"{about}Advice: {self.choice}. {self.why[0].upper()}{self.why[1:]}."

    def _questions(self) -> list[tuple[str, ...]]:
        rows = ((a.question, a.word, a.figures) for a in self.answers.values())
        return [("question", "answer", "figures"), *rows]

    def _cell(self) -> str:
        if self.grid is None:
            return "not both known; write predictable=yes or no, and asymmetric=yes or no"
        return f"{self.grid[0]} ({self.grid[1]})"


def advise(subject: LintSubject | None, given: Mapping[str, bool]) -> Advice:
    """Advises on an orchestration, or, without one, by the given answers alone."""
    found = answers(subject, given)
    grid = cell_of(found)
    if subject is None:
        choice, why = _by_answers(found, grid)
        return Advice("", choice, why, grid, found)
    choice, why = _choice(subject, found, grid)
    runs, tried = counted(len(subject.samples), "run"), counted(len(subject.evaluations), "evaluation")
    rows = tuple(parts(subject.graph, subject.defaults))
    evidence = f"%%{subject.graph.pattern}, {runs} on different inputs, {tried}"
    return Advice(subject.graph.name, choice, why, grid, found, _next_step(subject), rows, evidence)


def _choice(subject: LintSubject, found: Mapping[str, Answer], grid: tuple[str, str] | None) -> tuple[str, str]:
    plain = f"{subject.graph.name}_plain"
    tried = subject.evaluated.figures.get("variants", ()) if subject.evaluated else ()
    for variant, verdict, share, _ in tried:
        if variant.partition("@")[0] == plain and verdict == "meets":
            right = "" if share is None else f" ({share:.0%} right)"
            return "a plain call is enough", f"{variant} meets the target{right}: one call with all instructions"
    needless = next(agent_not_needed.check(subject), None)
    if needless is not None and "tools" not in {a.question for a in found.values() if a.value}:
        return "%%chain", f"{needless.text}; %orch lint {subject.graph.name} writes the chain out"
    now = f"%%{subject.graph.pattern}"
    known = subject.graph.pattern in _IN_GRID and grid is not None
    if not known and not any(found[q.name].value for q in QUESTIONS if q.pattern):
        return f"keep {now}", "no figure speaks for another pattern"
    chosen, why = _by_answers(found, grid)
    return (f"keep {now}" if now in chosen else chosen), why


def _by_answers(found: Mapping[str, Answer], grid: tuple[str, str] | None) -> tuple[str, str]:
    """The first question with a yes; else the table of four; else a chain."""
    for question in QUESTIONS:
        answer = found[question.name]
        if question.pattern and answer.value:
            return f"%%{question.pattern}", f"{question.name}: {answer.figures}"
    if grid is not None:
        two = "; ".join(f"{n} {found[n].word}: {found[n].figures}" for n in ("predictable", "asymmetric"))
        return f"{grid[0]}, {grid[1]}", two
    return "%%chain", "no question has a yes: the simplest pattern is the one to start with"


def _next_step(subject: LintSubject) -> str:
    """The first that is missing of a reference set, a fallback, a route, a check of the answers."""
    name, graph = subject.graph.name, subject.graph
    if subject.evaluated is None:
        runs = len(subject.samples)
        have = f'orchmagic.rows("{name}") has {counted(runs, "run")}' if runs else "20 rows are enough to begin"
        return f"a reference set: rows with what is right, and %%evaluate {name} --on rows ({have})"
    try:
        alone = next(no_fallback.check(subject), None)
    except SettingsError as error:
        return f"models that can be resolved: {error}"
    if alone is not None:
        return f"a fallback: {alone.text}. {alone.write}"
    if not any(call.role == "router" or len(call.ladder) > 1 for call in calls(graph)):
        return "a route: %%route sends easy requests to a cheaper model, %%cascade tries the cheaper one first"
    gated = any(isinstance(n, Code) and n.gate for n in graph.nodes)
    if not gated or not any(isinstance(link, Branch) for link in graph.links):
        return "a check: a gate after the step that matters most, or %%cascade with verify"
    return f"nothing is missing; %orch lint {name} looks at the details"
