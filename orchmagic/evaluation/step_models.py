"""The models of a cell's steps: which steps have one, and the cell's text with other models written into it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchmagic.errors import InputError
from orchmagic.graph.model import Call, Graph
from orchmagic.language.cell import Step, parse
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.cell_reader import CellDefinition, CellReader, split

WHOLE = "all steps"
"""What is given a model if the text of a cell is one prompt (`%%react`): its model stands on the magic line."""

_FLAG = re.compile(r"(?:^|\s+)--model(?:=|\s+)(?:\"[^\"]*\"|'[^']*'|\S+)")
_BARE = re.compile(r"[\w.-]+")


def choosable(graph: Graph) -> list[str]:
    """The steps of a cell that have a model of their own, in their order. Other cells that it runs keep theirs.

    Raises:
        InputError: there is none.
    """
    magic, line, body = split(graph.source)
    if PATTERNS.get(magic).one_prompt:
        return [WHOLE]
    calls = {node.name for node in graph.nodes if isinstance(node, Call) and not node.ladder}
    found = [s.name for s in parse(magic, line, body).items if isinstance(s, Step) and s.name in calls]
    if not found:
        raise InputError(f"{graph.name} has no step whose model can be chosen")
    return found


def with_step_models(graph: Graph, models: Mapping[str, str]) -> str:
    """The text of the cell with the model of each step in its header, or, of WHOLE, on the magic line."""
    magic, line, body = split(graph.source)
    if WHOLE in models:
        line = f"{_FLAG.sub('', line).rstrip()} --model {_written(models[WHOLE])}".lstrip()
        return f"%%{magic} {line}\n{body}"
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for step in parse(magic, line, body).items:
        if isinstance(step, Step) and step.name in models:
            lines[step.line - 2] = _header(lines[step.line - 2], step, _written(models[step.name]))
    return "\n".join([graph.source.partition("\n")[0], *lines])


def read_changed(
    reader: CellReader, source: str, models: Mapping[str, str], names: Mapping[str, object]
) -> CellDefinition:
    """Reads the changed cell.

    Raises:
        InputError: a step does not take its model from its header.
    """
    found = reader.read(*split(source), names)
    for step, model in models.items():
        node = None if step == WHOLE else found.definition.node(step)
        if isinstance(node, Call) and node.model != model:
            raise InputError(f"the model of {step} cannot be written into its header: choose it by hand")
    return found


def _header(head: str, step: Step, model: str) -> str:
    """The header of a step with `model=`."""
    given = step.options.get("model")
    if given is not None:
        return head[: given.column] + model + head[given.column + len(given.source) :]
    name, rest = head[: len(step.name)], head[len(step.name) :]
    if rest.lstrip().startswith("("):
        inner = rest.lstrip()[1:]
        comma = "" if inner.lstrip().startswith(")") else ", "
        return f"{name}(model={model}{comma}{inner}"
    return f"{name}(model={model}){rest}"


def _written(model: str) -> str:
    """A model as a word, in quotes where it needs them."""
    return model if _BARE.fullmatch(model) else f'"{model}"'
