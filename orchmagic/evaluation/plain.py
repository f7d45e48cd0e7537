"""`--against plain`: one call with all the instructions of a graph, to see whether the graph is worth its steps."""

from __future__ import annotations

import re
from dataclasses import replace

from orchmagic.errors import InputError
from orchmagic.graph.model import Call, Graph, Sub, Tools
from orchmagic.language import template
from orchmagic.language.template import Message

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_HEAD = "Do the following steps one after the other, in your mind. Give only the result of the last one.\n\n"


def plain(graph: Graph) -> Graph:
    """The graph of one call that does what all steps of `graph` do; its output has the type of the last step.

    Raises:
        InputError: the graph has agents, other cells or items, which one call cannot do.
    """
    calls = [node for node in graph.nodes if isinstance(node, Call)]
    odd = next((n for n in graph.nodes if isinstance(n, Sub | Tools) or getattr(n, "each", None)), None)
    if odd is not None or not calls:
        what = f"the step {odd.name}" if odd is not None else "no prompt"
        raise InputError(f"--against plain: {graph.name} has {what}, which one call cannot do: leave --against out")
    last = next((c for name in reversed(graph.results) for c in calls if c.name == name), calls[-1])
    steps = {node.name for node in graph.nodes}
    parts = [f"Step {c.name}:\n{_instructions(c, steps)}" for c in calls if c is not last]
    text = _HEAD + "\n\n".join([*parts, f"Last step, {last.name}:\n{_instructions(last, steps)}"])
    call = replace(last, messages=(Message("user", text),), when=None, tools=(), transcript=None, ladder=(), votes=None)
    inputs = tuple(name for name in graph.inputs if name in template.names(text))
    return replace(
        graph, name=f"{graph.name}_plain", nodes=(call,), links=(), results=(last.name,), inputs=inputs, code=()
    )


def _instructions(call: Call, steps: set[str]) -> str:
    """The prompt of a step, with words in place of the values of other steps."""
    text = "\n".join(message.text for message in call.messages)
    spoken = _PLACE.sub(lambda m: f"[{m.group(1).strip()}]" if template.names(m.group()) & steps else m.group(), text)
    if template.names(spoken) & steps:
        raise InputError(f"--against plain: the prompt of {call.name} has a loop over a step: leave --against out")
    return spoken
