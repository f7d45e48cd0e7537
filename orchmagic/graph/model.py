"""Graph: the waist of the hourglass. Patterns lower to it; compile, export, draw and estimate read it.

    graph    = inputs, nodes, links, first nodes, results, limits
    node     = Call (ask a model) | Tools (run its tool calls) | Code (an expression) | Approve (ask a person)
             | Sub (another graph)
    link     = Edge (always) | Branch (by the value of an expression, each arm with a limit)
             | Fork (to several nodes, side by side) | Join (when all of several have ended)
    target   = a node's name | END (done) | FAIL (a gate failed) | STOP (ended on purpose) | CAP (a limit reached)

Plain frozen data: no model, no notebook object and nothing of LangGraph. Expressions and annotations are source
text; the notebook's functions and classes they name are looked up when the graph is compiled or exported.
The state of a run is one JSON object with a key per input and per node; `visits` counts each node's visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from orchmagic.core import limits
from orchmagic.errors import nearest
from orchmagic.language.annotations import TEXT, Output
from orchmagic.language.template import Message

START = "__start__"
END = "__end__"
FAIL = "__fail__"
STOP = "__stop__"
CAP = "__cap__"
TARGETS = frozenset({END, FAIL, STOP, CAP})


@dataclass(frozen=True, slots=True)
class Each:
    """Run a node for each item of the list that `over` gives, side by side; `item` is its name in the node.

    Its value is the list of theirs, in order; None for an item that failed. When all fail, the node fails.
    """

    over: str
    item: str = "item"


@dataclass(frozen=True, slots=True)
class Votes:
    """Ask `count` times, each vote its own answer, and take the value that most votes have in field `by`.

    Without `by` the whole value is compared. On a tie the value that was voted first wins. The node's value is the
    winner's with `agreement` (0..1), `dissent` (the other votes), `tie` and `decided` (see `schema.voted`). When
    less than the share `least` agrees, the first fallback model is asked once and decides; without one, nobody.
    """

    count: int
    by: str = ""
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a model; the node's value is its typed output.

    `model` is an alias or a model name (None: the run's). `retry` is how often a reply that does not fit
    `output` is asked again with the error. `when` is an expression: false skips the node, its value is None.
    `confidence` adds `.confidence` (0..1, or None when the endpoint gave none) to the value, for the field it
    names: from logprobs where the endpoint has them, else reported by the model itself.
    `tools` names notebook functions; `transcript` is the state key that then keeps the conversation.
    `tolerant`: a reply that never fits makes the value None instead of failing the run; `isolated`: so does any
    failure of the step (limits of the run still end it). `ladder` are the models of the first, second … visit,
    the last one for all that follow. `parameters` (temperature …) go into the body of the request as they are.
    """

    name: str
    messages: tuple[Message, ...]
    output: Output = TEXT
    model: str | None = None
    fallback: tuple[str, ...] | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    retry: int = limits.REASK
    cache: str | None = None
    when: str | None = None
    confidence: str | None = None
    tools: tuple[str, ...] = ()
    transcript: str | None = None
    tolerant: bool = False
    isolated: bool = False
    each: Each | None = None
    votes: Votes | None = None
    ladder: tuple[str, ...] = ()
    role: str = ""
    parameters: tuple[tuple[str, object], ...] = ()

    @property
    def request_parameters(self) -> dict[str, object]:
        """`parameters` as the body of a request has them."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in self.parameters}


@dataclass(frozen=True, slots=True)
class Tools:
    """Run the tool calls of the last message in `transcript`, side by side, and append what they return.

    A person approves each call of the tools in `approve` before it runs.
    """

    name: str
    tools: tuple[str, ...]
    transcript: str
    timeout: float | None = None
    approve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    """Evaluate a Python expression over state and notebook; `gate` marks a check (its value is a bool).

    A gate that sends its run back to an earlier call (`again`) gives that call its own last reply and the
    failed check to read, so that the second request differs from the first. `like` names the call whose type the
    value has (the best of its values, say). `isolated`: when it raises, its value is None and the run goes on.
    """

    name: str
    expression: str
    gate: bool = False
    again: str | None = None
    when: str | None = None
    like: str | None = None
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Approve:
    """Pause for a person: the run ends as `waiting`; the reply becomes the value of the node.

    With a `subject` the person approves that node's value, edits it, or rejects: "approve" or "reject".
    """

    name: str
    question: Message
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Sub:
    """Run another graph and take its output: `given` are (input, expression) pairs, other inputs have the same name.

    Budget, deadline, steps, cancel, cache and trace are this run's. The inner graph's own limits hold inside it: when
    it reaches one, its partial result is the value.
    """

    name: str
    graph: Graph
    given: tuple[tuple[str, str], ...] = ()
    each: Each | None = None
    when: str | None = None
    isolated: bool = False


Node: TypeAlias = Call | Tools | Code | Approve | Sub


@dataclass(frozen=True, slots=True)
class Edge:
    """Always."""

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
    """To the first arm whose label equals the value of `on`; else, or past its limit, to `otherwise`, and why."""

    source: str
    on: str
    arms: tuple[Arm, ...]
    otherwise: str = FAIL
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fork:
    """From `source` (START: the beginning) to all `targets`, side by side."""

    source: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """When all `sources` have ended, to `target`; a way that leads to a Join has no other link."""

    sources: tuple[str, ...]
    target: str


Link: TypeAlias = Edge | Branch | Fork | Join


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a run (None: open): steps but for Code, seconds, US dollars; `concurrency` items at once."""

    max_iterations: int = limits.MAX_ITERATIONS
    max_steps: int = limits.MAX_STEPS
    max_tokens: int | None = limits.MAX_TOKENS
    budget: float | None = None
    deadline: float | None = limits.DEADLINE
    concurrency: int = limits.CONCURRENCY

    @property
    def supersteps(self) -> int:
        """LangGraph's own limit, which counts expressions too: higher than ours, so that ours is reached first."""
        return 6 * self.max_steps + 50


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
            if source not in names and source != START:
                raise ValueError(f"graph {self.name!r}: a link leaves unknown node {source!r}")
            if target not in names and target not in TARGETS:
                raise ValueError(f"graph {self.name!r}: a link leads to unknown node {target!r}")

    @property
    def starts(self) -> tuple[str, ...]:
        """The nodes that start: the targets of a Fork at START, else the first node."""
        forks = [link.targets for link in self.links if isinstance(link, Fork) and link.source == START]
        return forks[0] if forks else (self.nodes[0].name,)

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
        return next((link for link in self.links if source in sources(link)), None)

    def arrows(self) -> Iterator[tuple[str, str]]:
        """All (source, target) pairs."""
        return arrows(self.links)


def arrows(links: Iterable[Link]) -> Iterator[tuple[str, str]]:
    """All (source, target) pairs of the links."""
    return ((source, target) for link in links for source in sources(link) for target in targets(link))


def sources(link: Link) -> tuple[str, ...]:
    """The nodes that a link leaves."""
    return link.sources if isinstance(link, Join) else (link.source,)


def targets(link: Link) -> tuple[str, ...]:
    """The nodes and ends that a link leads to."""
    match link:
        case Edge() | Join():
            return (link.target,)
        case Fork():
            return link.targets
        case Branch():
            return (*(arm.target for arm in link.arms), link.otherwise)
        case _:
            assert_never(link)
