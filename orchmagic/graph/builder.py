"""Builds a graph from the items of a cell, for the patterns. Collects all problems, then raises one CellError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from types import ModuleType
from typing import Any

from orchmagic.errors import CellError, InputError, Problem, nearest
from orchmagic.graph import checks, composition
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Call, Code, Each, Graph, Link, Node, Sub, Tools, Votes
from orchmagic.graph.output_types import resolve
from orchmagic.graph.resolution import run_limits
from orchmagic.graph.standard_types import is_constructor, standard_names
from orchmagic.language import expression, template
from orchmagic.language.annotations import TEXT
from orchmagic.language.cell import Cell, CodeStep, Control, Step
from orchmagic.language.magic_line import RunOptions
from orchmagic.language.step_options import CALL_OPTIONS, PARAMETERS, STEP_OPTIONS, SUBGRAPH_OPTIONS, StepOption

_SHORT = 5  # letters: shorter names often differ in one


class GraphBuilder:
    """Builds the graph of one cell. `namespace` is the notebook's and is only read; `limits` are those of a run."""

    def __init__(self, cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> None:
        self.cell = cell
        self.options = options
        self.namespace = namespace
        self.limits = run_limits(options)
        self.problems: list[Problem] = []
        self._lines: dict[str, int] = {}

    def problem(self, line: int, found: str, write: str, column: int = 0) -> None:
        """Records a problem; `build` raises all of them together."""
        self.problems.append(self.cell.problem(line, column, found, write))

    def step(self, step: Step, *, also: Iterable[StepOption] = (), **settings: Any) -> Call | Sub:
        """Builds the node of a step: a model call, or with `run=` another orchestration. `settings` are node fields."""
        if "run" in step.options:
            return self._run(step, also, settings)
        given = self.read(step, (*STEP_OPTIONS, *also))
        each, votes = self._each(step, given), self._votes(step, given)
        return self._called(step, given, {"each": each, "votes": votes, **settings})

    def call(self, step: Step, *, also: Iterable[StepOption] = (), **settings: Any) -> Call:
        """Builds the node of a step that must be one model call. `also` are the pattern's own step options."""
        return self._called(step, self.read(step, (*CALL_OPTIONS, *also)), settings)

    def node(self, item: Step | CodeStep) -> Call | Sub | Code:
        """Builds the node of a step or of a `name = expression` line."""
        return self.step(item) if isinstance(item, Step) else self.code(item)

    def number(self, key: str, default: int) -> int:
        """Returns a whole number from the pattern's own options of the magic line."""
        value = self.options.extra.get(key)
        return value if isinstance(value, int) else default

    def rounds(self, default: int) -> int:
        """Returns the most rounds of a loop: a --max-iterations that was set, else `default`."""
        return self.options.rounds or default

    def names(self, key: str) -> tuple[str, ...]:
        """Returns the names in one of the pattern's own options of the magic line; () if it is not given."""
        value = self.options.extra.get(key)
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    def _called(self, step: Step, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Call:
        self._lines[step.name] = step.line
        fields: dict[str, Any] = {"messages": step.messages, "output": step.output or TEXT}
        if self.options.retry is not None:
            fields["retry"] = self.options.retry
        call = Call(step.name, **{**fields, **_call_fields(given), **settings})
        if not call.messages and all(problem.line != step.line for problem in self.problems):
            found = f"step {step.name!r} has no prompt"
            if step.description:
                found += ": text after the colon is a description"
            self.problem(step.line, found, "Write the prompt on the lines below it, indented")
        return call

    def _run(self, step: Step, also: Iterable[StepOption], settings: Mapping[str, Any]) -> Sub:
        self._lines[step.name] = step.line
        given = self.read(step, (*SUBGRAPH_OPTIONS, *also))
        name = given.get("run", "")
        graph = composition.definition(self.namespace.get(name))
        if graph is None:
            known = [n for n, v in self.namespace.items() if composition.definition(v)]
            write = f"Run the cell that defines it first{nearest(name, known)}"
            self.problem(step.line, f"run={name} is no orchestration of the notebook", write)
            graph = Graph("unknown", self.cell.magic, (Code("empty", "None"),), (), ("empty",))
        if step.messages or step.output:
            write = "Delete the prompt and the `->`: both are those of the orchestration"
            self.problem(step.line, f"step {step.name!r} runs {name!r} and has a prompt or output of its own", write)
        isolated = bool(settings.get("isolated"))
        return Sub(step.name, graph, each=self._each(step, given), when=given.get("when"), isolated=isolated)

    def _each(self, step: Step, given: Mapping[str, Any]) -> Each | None:
        if "over" not in given:
            if "item" in given:
                self.problem(step.line, "item= needs over=", "Write over=tickets, item=ticket")
            return None
        return Each(given["over"], given.get("item", "item"))

    def _votes(self, step: Step, given: Mapping[str, Any]) -> Votes | None:
        if "votes" not in step.options:
            for name in ("by", "min"):
                if name in given:
                    self.problem(step.line, f"{name}= needs votes=", "Write for example votes=5")
            return None
        fields = [f.name for f in (step.output or TEXT).fields]
        by, count, least = given.get("by", fields[0] if fields else ""), given.get("votes", 2), given.get("min", 0.0)
        column = step.options["votes"].column
        if by and by not in fields:
            write = f"Write one of its outputs: {', '.join(fields) or 'it has one value, so leave by= out'}"
            self.problem(step.line, f"by={by} is no output of {step.name!r}", f"{write}{nearest(by, fields)}", column)
        if "seed" in given:
            found = "seed= beside votes=, so that all votes may be the same answer"
            self.problem(step.line, found, "Leave seed= out", step.options["seed"].column)
        return Votes(count, by, least)

    def read(self, step: Step, options: Iterable[StepOption]) -> dict[str, Any]:
        """Returns the step's options by name as Python values; records unknown and invalid ones as problems."""
        known = {option.name: option for option in options}
        values: dict[str, Any] = {}
        for name, value in step.options.items():
            option = known.get(name)
            if option is None:
                self.problem(
                    step.line,
                    f"step {step.name!r} has an unknown option {name!r}",
                    f"Known: {', '.join(known)}{nearest(name, known)}",
                    value.column,
                )
                continue
            try:
                values[name] = option.read(value)
            except (ValueError, TypeError):
                self.problem(step.line, f"{name}={value.source} cannot be read", f"Write {option.form}", value.column)
        return values

    def code(self, item: CodeStep) -> Code | Sub:
        """Builds the node of a `name = expression` line; `name = triage(…)` runs another orchestration."""
        self._lines[item.name] = item.line
        try:
            node = composition.called(item.name, item.expression, self._besides(item))
        except InputError as error:
            what, _, write = str(error).partition(": ")
            self.problem(item.line, what, write[:1].upper() + write[1:])
            return Code(item.name, "None")
        return node or Code(item.name, item.expression)

    def _besides(self, item: CodeStep) -> dict[str, object]:
        """Returns the notebook's names without those of other steps, which hide them in this line."""
        steps = {i.name for i in self.cell.items if not isinstance(i, Control) and i is not item}
        return {n: v for n, v in self.namespace.items() if n not in steps}

    def refuse(self, item: Step | CodeStep | Control, what: str, write: str) -> None:
        """Records that the pattern does not support this item."""
        self.problem(item.line, f"%%{self.cell.magic} has no {what}", write)

    def build(self, nodes: list[Node], links: list[Link], results: Iterable[str]) -> Graph:
        """Checks the nodes and links and returns the graph.

        Raises:
            CellError: with all problems of the cell.
        """
        inputs, code = self._names(nodes, links)
        findings = (
            checks.name(self.options.name, inputs, code),
            checks.order(nodes, links),
            checks.fields(nodes, self.namespace),
            checks.inner(nodes, links, self.namespace),
            checks.items(nodes),
            checks.reserved(nodes, links, self.namespace),
            checks.twice(nodes),
        )
        for piece, found, write in chain(*findings):
            line, column = self._place_of(piece)
            self.problem(line, found, write, column)
        for step, found, write in checks.prompts(nodes):
            self.problem(self._lines.get(step, 1), found, write)
        self._check_types(nodes)
        self._check_functions()
        self._check_cycles(nodes)
        if self.problems:
            raise CellError(self.problems)
        options = self.options
        return Graph(
            name=options.name or self.cell.magic,
            pattern=self.cell.magic,
            nodes=tuple(nodes),
            links=tuple(links),
            results=tuple(results),
            inputs=inputs,
            code=code,
            limits=self.limits,
            model=options.model,
            fallback=options.fallback,
            source=f"%%{self.cell.magic} {self.cell.line}\n{self.cell.body}",
        )

    def _check_functions(self) -> None:
        """Rejects a notebook function with the name of a built-in cell function, which would hide it."""
        for name in FUNCTIONS:
            match = re.search(rf"(?<![.\w]){name}\s*\(", self.cell.body)
            if match and is_code(self.namespace.get(name)):
                line = 2 + self.cell.body[: match.start()].count("\n")
                what = f"{name!r} is a function of cells and of the notebook"
                self.problem(line, what, "Give that of the notebook another name")

    def _check_cycles(self, nodes: list[Node]) -> None:
        name = self.options.name or self.cell.magic
        for node in nodes:
            if isinstance(node, Sub) and (way := composition.cycle(name, node.graph)):
                write = "Leave one of them out: an orchestration cannot be inside itself"
                self.problem(self._lines.get(node.name, 1), f"{name} → {way} is a circle", write)

    def _names(self, nodes: list[Node], links: list[Link]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        own = {n.name for n in nodes} | checks.of_run(nodes, links)
        used: dict[str, bool] = {}
        for node in nodes:
            for name, is_called in _used(node, standard_names(self.namespace)).items():
                used[name] = is_called or used.get(name, False)
        for link in links:
            on = getattr(link, "on", None)
            used.update(dict.fromkeys(sorted(expression.names(on)) if on else (), False))
        own |= {"visits"} - self.namespace.keys() - set(self.options.inputs or ())  # every step is counted
        own |= {n for n in FUNCTIONS if used.get(n, True) or n not in self.namespace}  # else a variable of that name
        free = [n for n in used if n not in own]
        code = tuple(n for n in free if is_code(self.namespace.get(n)) or (used[n] and n not in self.namespace))
        inputs = tuple(n for n in free if n not in code)
        self._check_near_misses(inputs, own | checks.OF_RUN)
        tools = (name for node in nodes if isinstance(node, Tools) for name in node.tools)
        inner = (n for node in nodes if isinstance(node, Sub) for n in node.graph.code)
        return self._chosen(inputs), tuple(dict.fromkeys((*code, *tools, *inner)))

    def _check_near_misses(self, inputs: Iterable[str], own: set[str]) -> None:
        for name in inputs:
            meant = next((known for known in sorted(own) if _is_slip(name, known)), None)
            if meant and name not in self.namespace and name not in (self.options.inputs or ()):
                line, column = self._place_of(name)
                what = f"{name!r} is no step and no notebook variable"
                self.problem(line, what, f"Write a known name; did you mean {meant!r}?", column)

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
                    what = f"the output of {node.name!r} cannot be used: {str(error).splitlines()[0]}"
                    write = "Write Python types, a Pydantic model, a dataclass or an Enum of the notebook"
                    self.problem(self._lines.get(node.name, 1), what, write)

    def _place_of(self, piece: str) -> tuple[int, int]:
        """Returns line and column of the first place in the cell where `piece` stands as a word; else (1, 0)."""
        word = re.compile(rf"(?<![\w.]){re.escape(piece)}(?!\w)")
        found = (
            (i, match.start()) for i, text in enumerate(self.cell.body.split("\n"), 2) if (match := word.search(text))
        )
        return next(found, (1, 0))


def is_code(value: object) -> bool:
    """Whether a notebook value is code (a function, class or module) and not an input."""
    return isinstance(value, ModuleType) or callable(value)


def _is_slip(name: str, known: str) -> bool:
    """Whether `name` is `known` with one slip of the keyboard: a letter too many, missing, wrong, or two swapped.

    The last letter may differ (`tickets` beside `ticket`), a letter of a short name (`text` beside `test`), a digit.
    """
    short = _SHORT if len(name) == len(known) and sorted(name) != sorted(known) else _SHORT - 1
    if min(len(name), len(known)) < short or name[-1] != known[-1] or abs(len(name) - len(known)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(name, known, strict=False)) if x != y), 0)
    a, b = name[start:], known[start:]
    if any(letter.isdigit() for letter in (a[:1], b[:1])):
        return False
    return bool(start) and (a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[2:] == b[2:] and a[:2] == b[1::-1]))


def literal(words: str) -> str:
    """Returns a template that renders to exactly this text."""
    return words.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}")


def _used(node: Node, standard: frozenset[str]) -> dict[str, bool]:
    """Maps each name that a node uses, in order of use, to whether the node calls it or uses it as a type.

    `standard` are the names of standard library classes that are always available as types.
    """
    texts, expressions, types = checks.sources(node)
    used: dict[str, bool] = {}
    for source in texts:
        used.update(dict.fromkeys(sorted(template.names(source)), False))
    for source in expressions:
        attributes = expression.attributes(source)
        calls = expression.called(source) | {n for n, attribute in attributes if is_constructor(n, attribute)}
        used.update({n: n in calls or used.get(n, False) for n in sorted(expression.names(source))})
    used.update(dict.fromkeys(sorted(types - standard), True))
    return {name: is_called for name, is_called in used.items() if name not in checks.own(node)}


def _call_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Maps option values to fields of a Call; request parameters are collected in the field `parameters`."""
    rows = [option for option in CALL_OPTIONS if option.name in given]
    fields = {o.field or o.name: given[o.name] for o in rows if o not in PARAMETERS}
    return fields | {"parameters": tuple((o.name, given[o.name]) for o in PARAMETERS if o.name in given)}
