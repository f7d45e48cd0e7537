"""From the items of a cell to the nodes of a graph. Patterns use it; it collects every problem before it raises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from types import ModuleType
from typing import Any

from orchmagic import checks, expression, template
from orchmagic.cell import Cell, CodeStep, Control, Step, Value
from orchmagic.errors import CellError, Problem, nearest
from orchmagic.graph import DEFAULTS, Call, Code, Graph, Limits, Link, Node, Tools
from orchmagic.options import RunOptions
from orchmagic.outputs import TEXT
from orchmagic.schema import resolve


def _number(value: Value) -> float:
    found = value.literal
    if isinstance(found, bool) or not isinstance(found, int | float) or found < 0:
        raise ValueError(value.source)
    return found


def _whole(value: Value) -> int:
    found = _number(value)
    if found != int(found):
        raise ValueError(value.source)
    return int(found)


_READ: dict[str, tuple[Callable[[Value], Any], str]] = {
    "model": (lambda v: v.word, "a model or alias: model=large"),
    "fallback": (lambda v: v.words, "one or more models: fallback=large"),
    "temperature": (_number, "a number: temperature=0.2"),
    "max_tokens": (_whole, "a whole number: max_tokens=300"),
    "timeout": (_number, "seconds: timeout=30"),
    "retry": (_whole, "a whole number: retry=2"),
    "cache": (lambda v: v.word, "a time or off: cache=1d"),
    "when": (lambda v: v.expression, "a Python expression: when=extract.score > 3"),
}


class Lowering:
    """One cell on its way to a graph. `namespace` is the notebook's, only looked at."""

    def __init__(self, cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> None:
        self.cell = cell
        self.options = options
        self.namespace = namespace
        self.problems: list[Problem] = []
        self._lines: dict[str, int] = {}

    def problem(self, line: int, found: str, write: str, column: int = 0) -> None:
        """Note what is wrong; `build` raises all of it at once."""
        self.problems.append(self.cell.problem(line, column, found, write))

    def call(self, step: Step, *, also: Iterable[str] = (), **settings: Any) -> Call:
        """A step with a prompt. `also` names options that the pattern reads itself, `settings` override."""
        given = self.read(step, (*_READ, *also))
        given = {k: v for k, v in given.items() if k in _READ}
        self._lines[step.name] = step.line
        asked = {} if self.options.retry is None else {"retry": self.options.retry}
        fields = {"output": step.output or TEXT, **asked, **given, **settings}
        return Call(step.name, settings.get("messages") or step.messages, **_without_messages(fields))

    def read(self, step: Step, known: Iterable[str]) -> dict[str, Any]:
        """The step's options as Python values; unknown and unreadable ones are problems."""
        names, read = tuple(known), {}
        for name, value in step.options.items():
            if name not in names:
                self.problem(
                    step.line,
                    f"step {step.name!r} has an unknown option {name!r}",
                    f"Known: {', '.join(names)}{nearest(name, names)}",
                    value.column,
                )
            elif name in _READ:
                convert, what = _READ[name]
                try:
                    read[name] = convert(value)
                except (ValueError, TypeError):
                    self.problem(step.line, f"{name}={value.source} cannot be read", f"Write {what}", value.column)
            else:
                read[name] = value
        return read

    def code(self, item: CodeStep) -> Code:
        """A `name = expression` line."""
        self._lines[item.name] = item.line
        return Code(item.name, item.expression)

    def refuse(self, item: Step | CodeStep | Control, what: str, write: str) -> None:
        """The pattern has no place for this item."""
        self.problem(item.line, f"%%{self.cell.magic} has no {what}", write)

    def build(self, nodes: list[Node], links: list[Link], results: Iterable[str], *, loops: int = 0) -> Graph:
        """The finished graph.

        Raises:
            CellError: with all problems of the cell.
        """
        inputs, code = self._names(nodes, links)
        findings = (checks.name(self.options.name, inputs, code), checks.order(nodes, links), checks.fields(nodes))
        for piece, found, write in chain(*findings):
            self.problem(self._line_of(piece), found, write)
        self._check_types(nodes)
        if self.problems:
            raise CellError(self.problems)
        options = self.options
        limits = Limits(
            max_iterations=options.max_iterations or loops or DEFAULTS.max_iterations,
            max_steps=options.max_steps or DEFAULTS.max_steps,
            max_tokens=options.max_tokens or DEFAULTS.max_tokens,
            budget=options.budget,
            deadline=options.deadline or DEFAULTS.deadline,
        )
        return Graph(
            name=options.name or self.cell.magic,
            pattern=self.cell.magic,
            nodes=tuple(nodes),
            links=tuple(links),
            results=tuple(results),
            inputs=inputs,
            code=code,
            limits=limits,
            model=options.model,
            fallback=options.fallback,
            source=f"%%{self.cell.magic} {self.cell.line}\n{self.cell.body}",
        )

    def _names(self, nodes: list[Node], links: list[Link]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        own = {n.name for n in nodes} | {"messages", "visits"}
        used: dict[str, bool] = {}
        for texts, expressions, types in map(checks.sources, nodes):
            for source in texts:
                used.update(dict.fromkeys(sorted(template.names(source)), False))
            for source in expressions:
                calls = expression.called(source)
                used.update({n: n in calls or used.get(n, False) for n in sorted(expression.names(source))})
            used.update(dict.fromkeys(sorted(types), True))
        for link in links:
            on = getattr(link, "on", None)
            used.update(dict.fromkeys(sorted(expression.names(on)) if on else (), False))
        free = [n for n in used if n not in own]
        code = tuple(n for n in free if is_code(self.namespace.get(n)) or (used[n] and n not in self.namespace))
        inputs = tuple(n for n in free if n not in code)
        self._check_near_misses(inputs, own)
        return self._chosen(inputs), (*code, *_tools(nodes))

    def _check_near_misses(self, inputs: Iterable[str], own: set[str]) -> None:
        for name in inputs:
            hint = nearest(name, own - {"messages", "visits"})
            if name not in self.namespace and hint and name not in (self.options.inputs or ()):
                self.problem(
                    self._line_of(name),
                    f"{name!r} is no step and no notebook variable",
                    f"Write a known name{hint}",
                )

    def _text(self) -> list[str]:
        return ["", *self.cell.body.split("\n")]

    def _chosen(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        chosen = self.options.inputs
        if chosen is None:
            return inputs
        if missing := [n for n in inputs if n not in chosen]:
            self.problem(1, f"the cell uses {', '.join(missing)}, which -i leaves out", "Add the name to -i")
        return chosen

    def _check_types(self, nodes: list[Node]) -> None:
        for node in nodes:
            if isinstance(node, Call):
                try:
                    resolve(node.name, node.output, self.namespace, confidence=node.confidence)
                except Exception as error:  # noqa: BLE001 - Pydantic and user classes raise anything; all become one line
                    self.problem(
                        self._lines.get(node.name, 1),
                        f"the output of {node.name!r} cannot be used: {str(error).splitlines()[0]}",
                        "Write Python types, a Pydantic model, a dataclass or an Enum of the notebook",
                    )

    def _line_of(self, piece: str) -> int:
        return next((i + 1 for i, t in enumerate(self._text()) if piece in t), 1)


def is_code(found: object) -> bool:
    """Functions, classes and modules are code; all else that a cell names is a value."""
    return (
        isinstance(found, type | ModuleType)
        or inspect.isroutine(found)
        or (callable(found) and not isinstance(found, str))
    )


def literal(words: str) -> str:
    """Words as a template that renders to just these words."""
    return words.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}")


def _without_messages(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if k != "messages"}


def _tools(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(t for n in nodes if isinstance(n, Tools) for t in n.tools))
