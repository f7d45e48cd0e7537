"""LangGraph's six tutorial workflows and the same as cells, in lines of code: the table of docs/tutorial-workflows.md.

A line counts when it holds code or a prompt: no blank lines, comments or docstrings. Of a workflow counts what is
written for it: inputs, types, tools, nodes, wiring and the call; of neither side the choice of a model.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "notebooks" / "tutorial_workflows.ipynb"
PAGE = "langchain-ai/docs, src/oss/langgraph/workflows-agents.mdx, commit 081755a"

# Counted by hand in PAGE (November 2026): (Graph API, functional API). The agent's tools, 13 lines, count in both.
TUTORIAL: Mapping[str, tuple[int, int]] = {
    "chaining": (46, 27),
    "parallelization": (37, 30),
    "routing": (59, 43),
    "orchestrator": (63, 48),
    "evaluator": (46, 33),
    "agent": (57, 52),
}
TITLES: Mapping[str, str] = {
    "chaining": "Prompt chaining (`%%chain`)",
    "parallelization": "Parallelization (`%%parallel`)",
    "routing": "Routing (`%%route`)",
    "orchestrator": "Orchestrator and workers (`%%plan --parallel`)",
    "evaluator": "Evaluator and optimizer (`%%refine`)",
    "agent": "Agent (`%%react`)",
}


def cells(workflow: str, notebook: Path = NOTEBOOK) -> list[str]:
    """The cells of a workflow, in order: those tagged `workflow-NAME`."""
    book = json.loads(notebook.read_text(encoding="utf-8"))
    wanted = f"workflow-{workflow}"
    return ["".join(c["source"]) for c in book["cells"] if wanted in c["metadata"].get("tags", ())]


def lines(cell: str) -> int:
    """How many lines of a cell hold code or a prompt."""
    if cell.startswith("%%"):
        return sum(bool(line.strip()) and not line.startswith("#") for line in cell.splitlines())
    skipped = {n for first, last in _docstrings(cell) for n in range(first, last + 1)}
    numbered = enumerate(cell.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in skipped for n, line in numbered)


def _docstrings(source: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            yield node.body[0].lineno, node.body[0].end_lineno or node.body[0].lineno


def counts() -> dict[str, tuple[int, int, int]]:
    """By workflow: Graph API, functional API, cells."""
    return {name: (*TUTORIAL[name], sum(map(lines, cells(name)))) for name in TUTORIAL}


def table() -> str:
    """The Markdown table of the page."""
    found = counts()
    rows = ["| workflow | Graph API | functional API | cells |", "|---|---:|---:|---:|"]
    rows += [f"| {TITLES[name]} | {' | '.join(map(str, found[name]))} |" for name in found]
    sums = (sum(column) for column in zip(*found.values(), strict=True))
    return "\n".join([*rows, f"| **all six** | {' | '.join(f'**{n}**' for n in sums)} |"])


if __name__ == "__main__":
    print(table())
