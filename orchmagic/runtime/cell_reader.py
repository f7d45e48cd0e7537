"""Parses the text of a cell, lowers it to a graph with its pattern, and checks the graph."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from orchmagic.errors import InputError
from orchmagic.graph.builder import is_code
from orchmagic.graph.checks import of_run, reads
from orchmagic.graph.composition import definition, nested
from orchmagic.graph.model import Graph, Tools
from orchmagic.graph.resolution import options_with_settings, safety
from orchmagic.language.cell import Cell, parse
from orchmagic.language.lookalikes import remarks
from orchmagic.language.magic_line import RunOptions, parse_options
from orchmagic.language.notebook_variables import filled_line, filled_models
from orchmagic.patterns import PATTERNS, Pattern
from orchmagic.runtime import waves
from orchmagic.runtime.services import Services


@dataclass(frozen=True, slots=True)
class CellDefinition:
    """The graph that a cell defines, the options of its magic line, and remarks on text that looks like syntax."""

    definition: Graph
    options: RunOptions
    remarks: tuple[str, ...] = ()

    def step(self, name: str) -> CellDefinition:
        """The definition of a single step; the values of other steps that it reads become inputs.

        Raises:
            InputError: there is no such step.
        """
        return replace(self, definition=_single_step(self.definition, name))


class CellReader:
    """Reads cells with the current settings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def read(self, pattern: str, line: str, body: str, namespace: Mapping[str, object]) -> CellDefinition:
        """Reads a cell; orchestrations that it uses, and variables of its options, are looked up in `namespace`.

        Raises:
            CellError: the cell has problems; lists all of them.
        """
        plug = PATTERNS.get(pattern)
        line = filled_line(pattern, line, namespace)
        options = parse_options(pattern, line, plug.options)
        _check_result(options)
        _check_thread(options)
        self._services.guard_rules(options.guard)  # raises before anything runs
        cell = parse(pattern, line, body, one_prompt=plug.one_prompt)
        if (filled := filled_models(cell, namespace, self._services.models.is_named)) != cell.body:
            cell = parse(pattern, line, filled, one_prompt=plug.one_prompt)
        graph, about_batches = self._built(plug, cell, options, namespace)
        variables = {n for n in namespace if not (n.startswith("_") or is_code(namespace[n]))}
        told = (*remarks(cell, variables), *_hidden(graph, cell, variables), *about_batches)
        return CellDefinition(graph, options, told)

    def _built(
        self, plug: Pattern, cell: Cell, options: RunOptions, namespace: Mapping[str, object]
    ) -> tuple[Graph, Iterator[str]]:
        """The graph, with limits that suit batches if its models go through them, and remarks on that."""
        services, settings = self._services, self._services.settings.now
        graph = plug.build(cell, options_with_settings(options, settings), namespace)
        if waves.in_batches(graph, options, services):
            graph = plug.build(cell, options_with_settings(options, settings, in_batches=True), namespace)
        graph = replace(graph, safety=safety(options))
        return graph, waves.remarks(graph, options, services)

    def read_source(self, source: str, name: str, namespace: Mapping[str, object]) -> CellDefinition:
        """Reads the whole text of a cell; a `name` such as "triage.extract" selects that step only."""
        cell = self.read(*split(source), namespace)
        _, _, step = name.rpartition(".")
        return cell.step(step) if name == f"{cell.definition.name}.{step}" else cell

    def current(self, graph: Graph) -> Graph:
        """The graph with the current definitions of its inner orchestrations, whose cells may have changed."""
        namespace = self._services.namespace
        inner = {g.name: g for g in nested(graph)}
        now = {n: definition(namespace.get(n)) for n in inner}
        if all(graph_now is None or graph_now is inner[n] for n, graph_now in now.items()):
            return graph
        return self.read_source(graph.source, graph.name, namespace).definition


def split(source: str) -> tuple[str, str, str]:
    """Splits the text of a cell into (magic, line, body)."""
    head, _, body = source.partition("\n")
    magic, _, line = head.removeprefix("%%").partition(" ")
    return magic, line, body


def _hidden(graph: Graph, cell: Cell, variables: Collection[str]) -> Iterator[str]:
    """Yields one line for each variable that the cell does not read, since its name means something of the run."""
    for name in sorted(of_run(graph.nodes, graph.links) & set(variables)):
        lines = (i for i, line in enumerate(cell.body.split("\n"), 2) if re.search(rf"(?<![\w.]){name}\b", line))
        if any(name in reads(node) for node in graph.nodes) and (number := next(lines, None)):
            yield f"line {number}: `{name}` is the run's own here, not the variable: to read that, my_{name} = {name}"


def _check_result(options: RunOptions) -> None:
    if options.result and (not options.result.isidentifier() or keyword.iskeyword(options.result)):
        raise InputError(f"-o {options.result} is no variable name: write for example -o result")
    if options.result and options.background:
        raise InputError("-o with --background has nothing to store yet: leave -o out and read NAME.last.output later")


def _check_thread(options: RunOptions) -> None:
    if options.thread is None and (options.thread_tokens is not None or options.thread_summary):
        flag = "--thread-summary" if options.thread_summary else "--thread-tokens"
        raise InputError(f"{flag} without --thread does nothing: write --thread NAME, or leave {flag} out")


def _single_step(graph: Graph, name: str) -> Graph:
    try:
        node = graph.node(name)
    except KeyError as error:
        raise InputError(error.args[0]) from None
    if isinstance(node, Tools):
        raise InputError(
            f"step {name!r} runs the tool calls of an agent: call {', '.join(node.tools)} in Python instead"
        )
    used = reads(node) | {getattr(node, "subject", None)}
    others = [n.name for n in graph.nodes if n.name != name and n.name in used]
    return replace(
        graph,
        name=f"{graph.name}.{name}",
        nodes=(node,),
        links=(),
        results=(name,),
        inputs=(*(n for n in graph.inputs if n in used), *others),
        given=tuple(n for n in graph.nodes if n.name in {*others, getattr(node, "like", None)} - {name}),
    )
