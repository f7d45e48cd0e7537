"""The graph, the intermediate representation: patterns build it; compile, export, draw and estimate read it.

    graph    = inputs, nodes, links, first nodes, results, limits
    node     = Call (ask a model) | Tools (run its tool calls) | Code (an expression) | Approve (ask a person)
             | Sub (another graph)
    link     = Edge (always) | Branch (by the value of an expression, each arm with a limit)
             | Fork (to several nodes in parallel) | Join (when all of several nodes have ended)
    target   = a node's name | END (done) | FAIL (a gate failed) | STOP (ended by a stop action) | CAP (a limit reached)
             | REJECT (rejected by a person)

Plain frozen data, without models, notebook objects or LangGraph. Expressions and annotations are source text; the
notebook's functions and classes in them are looked up when the graph is compiled or exported.
The state of a run is one JSON object with a key per input and per node; `visits` counts each node's visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

from orchmagic.core import limits
from orchmagic.core.limits import Open
from orchmagic.core.validators import CachePolicy
from orchmagic.errors import nearest
from orchmagic.language.annotations import TEXT, Output
from orchmagic.language.template import Message

START = "__start__"
END = "__end__"
FAIL = "__fail__"
STOP = "__stop__"
CAP = "__cap__"
REJECT = "__reject__"
TARGETS = frozenset({END, FAIL, STOP, CAP, REJECT})


@dataclass(frozen=True, slots=True)
class Each:
    """Runs a node for each item of the list `over` (an expression) in parallel; `item` is the item's name in it.

    The node's value is the list of results, in order; None for an item that failed. If all fail, the node fails.
    """

    over: str
    item: str = "item"


@dataclass(frozen=True, slots=True)
class Votes:
    """Calls the model `count` times and takes the majority of the votes by their field `by`.

    Without `by` the whole values are compared. On a tie the value that was voted first wins. The node's value is the
    winner with `agreement` (0..1), `dissent` (the other votes), `tie` and `decided` (see `output_types.voted`). If
    the agreement is below `least`, the first fallback model is called once and decides; if there is none, `decided`
    is False.
    """

    count: int
    by: str = ""
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """Calls a model; the node's value is its typed output.

    `model` is an alias or a model name (None: the run's). `retry`: if a reply does not fit `output`, the model is
    called again with the error, at most this often. `when` is an expression: if false, the node is skipped and its
    value is None. `confidence` names a field; the value gets `.confidence` (0..1, None if the endpoint gave none) for
    it: from logprobs if the endpoint has them, else, if `self_reported`, as a number that the model is asked for.
    `tools` names notebook functions; `transcript` is the state key of the conversation, used with tools.
    `tolerant`: if no reply fits, the value is None and the run goes on; `isolated`: the same for any failure of the
    step (limits of the run still end it). `ladder` are the models of the first, second … visit; the last one also
    serves all later visits. `parameters` (temperature …) are sent in the request body unchanged.
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
    self_reported: bool = False
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
        """`parameters` as JSON for the request body."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in self.parameters}


@dataclass(frozen=True, slots=True)
class Tools:
    """Runs the tool calls of the last message in `transcript` in parallel and appends their results to it.

    A person approves each call of the tools in `approve` before it runs. `timeout` is in seconds.
    """

    name: str
    tools: tuple[str, ...]
    transcript: str
    timeout: float | None = None
    approve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    """Evaluates a Python expression over state and notebook; `gate` marks a check (its value is a bool).

    If a gate sends the run back to an earlier call (`again`), that call's next prompt contains its last reply and
    the failed check. `like` names the call whose type the value has (for example the best of its values).
    `isolated`: if the expression raises, the value is None and the run goes on. `verifies`: the node whose answer this
    gate judges; an answer that fails is not verified.
    """

    name: str
    expression: str
    gate: bool = False
    again: str | None = None
    like: str | None = None
    isolated: bool = False
    verifies: str | None = None


@dataclass(frozen=True, slots=True)
class Approve:
    """Pauses for a person: the run ends with status `waiting`; the person's answer becomes the node's value.

    With a `subject` the person approves, edits or rejects that node's value; the answer is "approve" or "reject".
    If a rejection sends the run back to an earlier call (`again`), that call's next prompt contains the reason.
    """

    name: str
    question: Message
    subject: str | None = None
    again: str | None = None


@dataclass(frozen=True, slots=True)
class Sub:
    """Runs another graph; its output is the node's value.

    `given` are (input, expression) pairs; other inputs are taken from names that are the same. Budget, deadline,
    steps, cancellation, cache and trace are the outer run's. The inner graph's own limits also apply inside it: if
    it reaches one, its partial result is the value. If a person rejects a value in it, or its cell stops it, the outer
    run ends too; with `may_end` the value is None and the run goes on, to a gate with an `else`.
    """

    name: str
    graph: Graph
    given: tuple[tuple[str, str], ...] = ()
    each: Each | None = None
    when: str | None = None
    isolated: bool = False
    may_end: bool = False


Node: TypeAlias = Call | Tools | Code | Approve | Sub


@dataclass(frozen=True, slots=True)
class Edge:
    """Always goes from `source` to `target`."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a Branch: taken if its expression equals `label` and its source has at most `limit` visits."""

    label: str | bool
    target: str
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Goes to the first arm that matches the value of expression `on`, else to `otherwise` with the reason `why`.

    `least` is the confidence (0..1) that `on` asks of a router, None if it asks for none.
    """

    source: str
    on: str
    arms: tuple[Arm, ...]
    otherwise: str = FAIL
    why: str = ""
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Goes from `source` (START: the start of the run) to all `targets` in parallel."""

    source: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Goes to `target` when all `sources` have ended; a source of a Join has no other link."""

    sources: tuple[str, ...]
    target: str


Link: TypeAlias = Edge | Branch | Fork | Join


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run; None: no limit. `deadline` is in seconds, `budget` in US dollars.

    `max_steps` does not count Code nodes. If it is set in the cell or the settings, it counts the steps of inner graphs
    in every item, too; the built-in limit counts each item alone. `concurrency` is the number of items that run at
    once.
    """

    max_iterations: int = limits.MAX_ITERATIONS
    max_steps: int = limits.MAX_STEPS
    max_tokens: int | None = limits.MAX_TOKENS
    budget: float | None = None
    deadline: float | None = limits.DEADLINE
    concurrency: int = limits.CONCURRENCY

    @property
    def supersteps(self) -> int:
        """LangGraph's recursion limit. It counts Code nodes too, so it is set higher, to reach `max_steps` first."""
        return 6 * self.max_steps + 50


DEFAULTS = Limits()


@dataclass(frozen=True, slots=True)
class Safety:
    """What the magic line of a cell says of the safety of its calls; it travels with the graph into other cells.

    None, (), "use": the line says nothing. `guard` are rules as written, `cache` and `answers` (--no-cache: off) say
    what may be reused, `timeout` is in seconds of an attempt, `retry` counts
    repeats, `max_steps` is the limit of the run, `thread` is a conversation, `batch` sends the calls through the Batch
    API of their endpoints.
    `resolution.stricter` says which of two holds.
    """

    guard: tuple[str, ...] = ()
    cache: CachePolicy | None = None
    answers: Literal["use", "refresh", "off"] = "use"
    timeout: float | Open | None = None
    retry: int | None = None
    max_steps: int | None = None
    thread: str | None = None
    thread_tokens: int | Open | None = None
    thread_summary: bool = False
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """One orchestration. `results` are the nodes whose value can be the run's output: that of the last one that ran.

    `inputs` are looked up in the notebook (or passed); `code` names the functions, classes and modules of the
    notebook that the cell uses. `source` is the cell's text. `safety` is None for a part of a cell (an agent).
    `given` are the steps whose values a single step gets as inputs: they say of what type these are.
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
    safety: Safety | None = None
    given: tuple[Node, ...] = field(default=(), repr=False)

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
        """Returns the node called `name`.

        Raises:
            KeyError: there is none; the text suggests the nearest name.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        known = [n.name for n in self.nodes]
        raise KeyError(f"no step {name!r} (known: {', '.join(known)}){nearest(name, known)}")

    def own_key(self, name: str) -> str:
        """Returns the state's key of the run's own `messages`, `errors` or `visits`; an input may have that name."""
        return f"@{name}" if name in self.inputs else name

    def link(self, source: str) -> Link | None:
        """Returns the link that leaves `source`; None means END."""
        return next((link for link in self.links if source in sources(link)), None)

    def arrows(self) -> Iterator[tuple[str, str]]:
        """Yields all (source, target) pairs."""
        return arrows(self.links)


def arrows(links: Iterable[Link]) -> Iterator[tuple[str, str]]:
    """Yields all (source, target) pairs of the links."""
    return ((source, target) for link in links for source in sources(link) for target in targets(link))


def sources(link: Link) -> tuple[str, ...]:
    """Returns the nodes that a link leaves."""
    return link.sources if isinstance(link, Join) else (link.source,)


def targets(link: Link) -> tuple[str, ...]:
    """Returns the nodes and ends that a link leads to."""
    match link:
        case Edge() | Join():
            return (link.target,)
        case Fork():
            return link.targets
        case Branch():
            return (*(arm.target for arm in link.arms), link.otherwise)
        case _:
            assert_never(link)
