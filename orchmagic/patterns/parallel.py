"""%%parallel: runs independent parts of a task concurrently, or one prompt several times (votes), then merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchmagic.errors import CellError
from orchmagic.graph import checks
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import END, FAIL, START, Arm, Branch, Call, Code, Edge, Fork, Graph, Join, Link, Node, Sub
from orchmagic.language.cell import Cell, CodeStep, Control, Step
from orchmagic.language.magic_line import RunOptions
from orchmagic.patterns import Pattern
from orchmagic.patterns._roles import controls, steps

MERGE = "merge"
GATHERED = "gathered"


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a section per step except `merge`, which runs after all sections if at least one has a value."""
    builder = GraphBuilder(cell, options, namespace)
    controls(builder, None, "Write sections; checks stand in %%chain")
    items = steps(builder, (GATHERED,))
    merge = next((item for item in items if item.name == MERGE), None)
    sections = [builder.node(item) for item in items if item.name != MERGE]
    _check(builder, cell, sections)
    if len(sections) == 1:
        return _alone(builder, sections[0], merge)
    return _side_by_side(builder, sections, merge)


def _check(builder: GraphBuilder, cell: Cell, sections: Sequence[Node]) -> None:
    """Checks that there are two sections (or one with votes), and that none reads another.

    Raises:
        CellError: a section reads another one, although their order is undefined.
    """
    several = [s for s in sections if isinstance(s, Call | Sub) and (s.each or getattr(s, "votes", None))]
    if not sections or (len(sections) == 1 and not several):
        write = "Write two steps or more, or one with votes=5"
        builder.problem(1, "there is nothing to run side by side", write)
    names = {s.name for s in sections} | {MERGE}
    lines = {item.name: item.line for item in cell.items if not isinstance(item, Control)}
    crossed = [(s.name, other) for s in sections for other in sorted(checks.reads(s) & names - {s.name})]
    for name, other in crossed:
        write = "Sections run at the same time: read it in `merge`, or write %%chain"
        builder.problem(lines[name], f"section {name!r} reads {other!r}", write)
    if crossed:
        raise CellError(builder.problems)


def _alone(builder: GraphBuilder, section: Call | Sub | Code, merge: Step | CodeStep | None) -> Graph:
    """Builds the graph of one section with votes: its value is the output, unless there is a merge."""
    if merge is None:
        return builder.build([section], [Edge(section.name, END)], [section.name])
    nodes: list[Node] = [section, builder.node(merge)]
    return builder.build(nodes, [Edge(section.name, MERGE), Edge(MERGE, END)], [MERGE])


def _side_by_side(builder: GraphBuilder, sections: Sequence[Call | Sub | Code], merge: Step | CodeStep | None) -> Graph:
    """Builds the concurrent graph. A failed section gives None; if all fail, the run fails without a merge."""
    names = tuple(s.name for s in sections)
    apart = [replace(s, isolated=True) for s in sections]
    values = ", ".join(f"{name!r}: {name}" for name in names)
    there = Code(GATHERED, f"[name for name, value in {{{values}}}.items() if value is not None]")
    end = builder.node(merge) if merge else Code(MERGE, f"{{{values}}}")
    links: list[Link] = [
        Fork(START, names),
        Join(names, GATHERED),
        Branch(GATHERED, f"bool({GATHERED})", (Arm(True, MERGE),), FAIL, "no section gave a value"),
        Edge(MERGE, END),
    ]
    return builder.build([*apart, there, end], links, [MERGE])


pattern = Pattern(
    name="parallel",
    summary="Independent sections run at the same time, each with its own prompt and model; `merge` reads them all. "
    "With votes= a question is asked several times and the majority wins.",
    when="Parts of a task do not depend on each other (checks, aspects, sources) and latency matters; or one judgement "
    "must be more reliable than a single answer (votes).",
    breaks="A part needs the output of another (use %%chain). The merge cannot resolve contradictions of sections. "
    "Votes of one model share its blind spots, and every vote costs a call.",
    dollars=(0.003, 0.05),
    seconds=(1, 8),
    example="""\
%%parallel moderate
toxicity(votes=5, by=label, min=0.6, temperature=0.9) -> label: "ok" | "toxic", reason: str
    Is this post toxic? {{ post }}
personal -> bool
    Does the post contain personal data? {{ post }}
merge(model=large) -> publish: bool, why: str
    Votes: {{ toxicity }}. Personal data: {{ personal }}. Decide.
""",
    build=build,
)
