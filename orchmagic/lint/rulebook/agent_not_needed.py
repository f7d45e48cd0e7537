"""An agent calls the same tools in the same order in nearly every run.

**Why.** An agent decides anew in each run what to do next. If it always decides the same, these decisions cost calls
and time, and once in a while one is wrong. A chain does the same steps, and each can be tested alone.

**Example.** In 40 runs on different orders, the agent called `find_order` once and answered:

    %%react orders --tools find_order
    Where is the parcel? {{ question }}

**Fix.** The finding writes the chain out, with a step that finds the arguments of each tool. It needs 30 runs on
different inputs of which 95 % have the same calls.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Sequence

from orchmagic.graph.model import Call
from orchmagic.lint.history_figures import MANY
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.trace.record import Record

_SHARE = 0.95
_PLAIN = ("str", "int", "float", "bool")


def check(subject: LintSubject) -> Iterator[Found]:
    if subject.graph.pattern != "react":
        return
    ways = Counter(_calls(record) for record in subject.samples if record.status in {"done", "capped"})
    if ways.total() < MANY:
        return
    way, count = ways.most_common(1)[0]
    if count >= _SHARE * ways.total():
        said = f"called {', then '.join(way)}" if way else "called no tool"
        text = f"the agent {said} in {count} of {ways.total()} runs on different inputs"
        yield Found("", text, f"Write the chain:\n{_chain(subject, way)}")


def _calls(record: Record) -> tuple[str, ...]:
    """Returns the tools that a run called, in order."""
    return tuple(s.name for s in record.spans if s.kind == "tool")


def _chain(subject: LintSubject, way: Sequence[str]) -> str:
    """Returns the cell: for each tool a step that finds its arguments, and one that calls it; then the answer."""
    agent = subject.graph.node("agent")
    assert isinstance(agent, Call)
    task = "\n".join(message.text for message in agent.messages).strip()
    lines = [f"%%chain {subject.graph.name}{f' --model {subject.graph.model}' if subject.graph.model else ''}"]
    known: list[str] = []
    for place, tool in enumerate(way, 1):
        needs, result = f"for_{tool}_{place}", f"{tool}_{place}"
        arguments = _parameters(subject, tool)
        fields = ", ".join(f"{name}: {kind}" for name, kind in arguments)
        if fields:
            prompt = [f"Give the arguments of {tool} for this task:", *task.splitlines(), *known]
            lines += [f"{needs} -> {fields}", *(f"    {line}" for line in prompt)]
        lines += [f"{result} = {tool}({', '.join(f'{name}={needs}.{name}' for name, _ in arguments)})"]
        known.append(f"{tool} returned: {{{{ {result} }}}}")
    lines += [f"answer{_arrow(agent)}", *(f"    {line}" for line in [*task.splitlines(), *known])]
    return "\n".join(f"    {line}" for line in lines)


def _arrow(agent: Call) -> str:
    fields = ", ".join(f"{f.name}: {f.annotation}" for f in agent.output.fields)
    outputs = fields or agent.output.annotation
    return f" -> {outputs}" if outputs else ""


def _parameters(subject: LintSubject, tool: str) -> list[tuple[str, str]]:
    """Returns the parameters of a tool that have no default, with their types."""
    function = subject.function(tool)
    if not callable(function):
        return []
    kinds = inspect.signature(function).parameters.values()
    needed = [p for p in kinds if p.default is p.empty and p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    return [(p.name, _kind(p.annotation)) for p in needed]


def _kind(annotation: object) -> str:
    name = getattr(annotation, "__name__", annotation)
    return str(name) if name in _PLAIN else "str"


rule = LintRule("OM101", "agent-not-needed", check)
