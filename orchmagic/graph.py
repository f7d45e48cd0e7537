"""Graph: the waist of the hourglass. Patterns lower to it; compile, export, draw and estimate read it.

    graph    = inputs, nodes, links, first node, results, limits
    node     = Call (ask a model) | Tools (run its tool calls) | Code (an expression) | Approve (ask a person)
    link     = Edge (always) | Branch (by the value of an expression, each arm with a limit)
    target   = a node's name | END (done) | FAIL (a gate failed) | STOP (ended on purpose) | CAP (a limit reached)

Plain frozen data: no model, no notebook object and nothing of LangGraph. Expressions and annotations are source
text; the notebook's functions and classes they name are looked up when the graph is compiled or exported.
The state of a run is one JSON object with a key per input and per node; `visits` counts each node's visits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from orchmagic.errors import nearest
from orchmagic.outputs import TEXT, Output
from orchmagic.template import Message

END = "__end__"
FAIL = "__fail__"
STOP = "__stop__"
CAP = "__cap__"
TARGETS = frozenset({END, FAIL, STOP, CAP})


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a model; the node's value is its typed output.

    `model` is an alias or a model name (None: the run's). `retry` is how often a reply that does not fit
    `output` is asked again with the error. `when` is an expression: false skips the node, its value is None.
    `confidence` adds `.confidence` (0..1, or None when the endpoint gave none) to the value, for the field it
    names: from logprobs where the endpoint has them, else reported by the model itself.
    `tools` names notebook functions; `transcript` is the state key that then keeps the conversation.
    `tolerant`: a reply that never fits makes the value None instead of failing the run.
    """

    name: str
    messages: tuple[Message, ...]
    output: Output = TEXT
    model: str | None = None
    fallback: tuple[str, ...] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    retry: int = 1
    cache: str | None = None
    when: str | None = None
    confidence: str | None = None
    tools: tuple[str, ...] = ()
    transcript: str | None = None
    tolerant: bool = False
    role: str = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """Run the tool calls of the last message in `transcript`, side by side, and append what they return."""

    name: str
    tools: tuple[str, ...]
    transcript: str
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """Evaluate a Python expression over state and notebook; `gate` marks a check (its value is a bool).

    A gate that sends its run back to an earlier call (`again`) gives that call its own last reply and the
    failed check to read, so that the second request differs from the first.
    """

    name: str
    expression: str
    gate: bool = False
    again: str | None = None
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Approve:
    """Pause for a person: the run ends as `waiting`; the reply becomes the value of the node."""

    name: str
    question: Message


Node: TypeAlias = Call | Tools | Code | Approve


@dataclass(frozen=True, slots=True)
class Edge:
    """From `source` always to `target`."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Taken when the branch's expression equals `label`, while `source` was visited at most `limit` times."""

    label: str | bool
    target: str
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """From `source` to the first arm whose label equals the value of `on`; else (or past its limit) `otherwise`.

    `why` is what to tell the user when `otherwise` is FAIL, STOP or CAP.
    """

    source: str
    on: str
    arms: tuple[Arm, ...]
    otherwise: str = FAIL
    why: str = ""


Link: TypeAlias = Edge | Branch


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a run; None leaves that side open. `deadline` in seconds, `budget` in US dollars."""

    max_iterations: int = 8
    max_steps: int = 50
    max_tokens: int | None = 200_000
    budget: float | None = None
    deadline: float | None = 600.0


DEFAULTS = Limits()


@dataclass(frozen=True, slots=True)
class Graph:
    """One orchestration. `results` are the nodes whose value can be the run's output: the last that ran counts.

    `inputs` are looked up in the notebook (or passed); `code` are the functions, classes and modules that
    expressions and annotations use. `first` is the node that starts.
    """

    name: str
    pattern: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    results: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    model: str | None = None
    fallback: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        names = [n.name for n in self.nodes]
        if not names:
            raise ValueError(f"graph {self.name!r} has no node")
        if len(set(names)) != len(names):
            raise ValueError(f"graph {self.name!r} has two nodes of one name: {names}")
        for source, target in self.arrows():
            if source not in names:
                raise ValueError(f"graph {self.name!r}: a link leaves unknown node {source!r}")
            if target not in names and target not in TARGETS:
                raise ValueError(f"graph {self.name!r}: a link leads to unknown node {target!r}")

    @property
    def first(self) -> str:
        """The name of the node that starts."""
        return self.nodes[0].name

    def node(self, name: str) -> Node:
        """The node called `name`.

        Raises:
            KeyError: there is none; the text offers the nearest name.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        known = [n.name for n in self.nodes]
        raise KeyError(f"no step {name!r} (known: {', '.join(known)}){nearest(name, known)}")

    def link(self, source: str) -> Link | None:
        """The link that leaves `source`; None means END."""
        return next((link for link in self.links if link.source == source), None)

    def arrows(self) -> Iterator[tuple[str, str]]:
        """All (source, target) pairs, in the order of the links."""
        for link in self.links:
            match link:
                case Edge(source, target):
                    yield source, target
                case Branch():
                    yield from ((link.source, arm.target) for arm in link.arms)
                    yield link.source, link.otherwise
