"""Generates a module's first lines: mark, outline of the graph, and what is not exported."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator

from orchmagic.export import state
from orchmagic.export.endpoints import batched, unasked
from orchmagic.export.formatting import WIDTH
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.export.quoting import docstring
from orchmagic.graph.draw import outline
from orchmagic.graph.model import Graph, Limits

MARK = "# Written by orchmagic"

_UNTYPED = [
    "# Functions of the notebook that have no type hints:",
    "# ruff: noqa: ANN001, ANN201",
    '# mypy: disable-error-code="no-untyped-def, no-untyped-call"',
]


def header(whole: ModulePlan) -> list[str]:
    """Returns the mark, comments for the linters, and the docstring."""
    graph, plan = whole.outer.graph, whole.outer
    inputs = ", ".join(f'"{n}": ...' for n in plan.inputs)
    pauses = " It pauses for a person, so it needs a `thread_id`, and `Command(resume=...)` goes on."
    then = pauses if plan.pauses else ""
    rows = [
        f"{graph.name}: a %%{graph.pattern} cell, exported from a notebook.",
        "",
        *_outline(graph),
        *(row for inner in whole.plans[1:] for row in ("", f"Inside, {inner.graph.name}:", "", *_outline(inner.graph))),
        "",
        *_filled(f"Run it: {_command(plan)}"),
        *_filled(f"Or: `await build_graph().ainvoke({{{inputs}}})` returns the final state.{then}"),
        "",
        "Not exported:",
        *(row for text in _behind(whole) for row in _filled(text, "- ")),
    ]
    return [MARK, *([] if whole.copied.typed else _UNTYPED), *docstring(rows)]


def _outline(graph: Graph) -> list[str]:
    return [row for line in outline(graph).splitlines() for row in _drawn(line)]


def _drawn(line: str) -> list[str]:
    """Wraps a line of the outline; further targets continue below the arrow."""
    after = line.find("-> ") + len("-> ")
    return textwrap.wrap(line, WIDTH - 4, subsequent_indent=" " * after, initial_indent="", drop_whitespace=True)


def _filled(text: str, bullet: str = "") -> list[str]:
    rows = textwrap.wrap(text, WIDTH - len(bullet), break_long_words=False, break_on_hyphens=False)
    return [f"{' ' * len(bullet) if number else bullet}{row}" for number, row in enumerate(rows)]


def _command(plan: GraphPlan) -> str:
    given = [f"--{n} {'...' if state.input_type(plan, n) == 'str' else 'JSON'}" for n in plan.inputs]
    return " ".join([f"`python {plan.graph.name}.py", *given]) + "`"


def _behind(whole: ModulePlan) -> Iterator[str]:
    graph, limits = whole.outer.graph, whole.outer.graph.limits
    yield "the answer cache, guards, the trace and the live view"
    yield from _limits(graph, "a run", Limits(max_tokens=None))
    if limits.deadline is not None:
        yield f"the deadline of {limits.deadline:g} s a run" + ("" if whole.outer.pauses else ": only `run` keeps it")
    for plan in whole.plans:
        yield from _safety(whole, plan)
    for plan in whole.plans[1:]:
        yield from _limits(plan.graph, f"inside {plan.graph.name}", graph.limits)
        if plan.graph.limits.deadline not in {None, graph.limits.deadline}:
            yield f"the deadline of {plan.graph.limits.deadline:g} s inside {plan.graph.name}"
    yield f"the status `capped` after {limits.max_steps} steps: LangGraph raises GraphRecursionError, at MAX_STEPS"
    if whole.typed:
        yield "the repair of invalid JSON: the model is called again at once, as after a reply that does not fit"
    if whole.calls:
        yield "the timeout of a whole answer: TIMEOUT is the openai client's, for each wait on the network"
    if any(n.cache for _, n in whole.calls):
        yield "`cache=` of single steps"
    if any(plan.reads_errors for plan in whole.plans):
        yield "the wording of what went wrong: `errors` holds what Python and the openai client say"
    yield from whole.copied.left
    yield from _endpoint(whole)


def _safety(whole: ModulePlan, plan: GraphPlan) -> Iterator[str]:
    """Yields what a cell says of the safety of its calls and the module does not do, as text."""
    safety = plan.graph.safety
    if safety is None:
        return
    if safety.guard:
        yield f"the guards of {plan.graph.name}: {', '.join(safety.guard)}"
    if plan.prefix and plan.asked.defaults.retries != whole.defaults.retries:
        yield f"`--retry {safety.retry}` of {plan.graph.name}, for failed calls: RETRIES holds for all"
    if plan.prefix and safety.thread:
        yield f"the conversation {safety.thread!r} (`--thread`) of {plan.graph.name}"


def _limits(graph: Graph, what: str, above: Limits) -> Iterator[str]:
    """Yields the limits of tokens and dollars that differ from those of `above`, as text."""
    limits = graph.limits
    if limits.max_tokens not in {None, above.max_tokens}:
        yield f"the limit of {limits.max_tokens:,} tokens {what}"
    if limits.budget not in {None, above.budget}:
        yield f"the budget of {limits.budget:g} US dollars {what}"


def _endpoint(whole: ModulePlan) -> Iterator[str]:
    found = whole.endpoints.deployments.values()
    if any(d.provider != "openai" and not d.base_url for d in found):
        where = "in OPENAI_BASE_URL" if whole.endpoints.uniform else "named below"
        yield f"the model server inside the kernel: the module asks the endpoint {where}"
    yield from unasked(whole.endpoints)
    yield from batched((plan.asked for plan in whole.plans), whole.endpoints)


def sealed(text: str) -> str:
    """Returns the module with a hash of its body in the first line, which shows later edits."""
    body = text.partition("\n")[2]
    return f"{MARK} ({_seal(body)}); exporting again replaces it until you edit it.\n{body}"


def is_ours(text: str) -> bool:
    """Whether orchmagic wrote the file and nobody edited it since, so that it may be replaced."""
    first, _, body = text.partition("\n")
    return first.startswith(f"{MARK} ({_seal(body)});")


def _seal(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:12]
