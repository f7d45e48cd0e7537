"""Compiles a Graph to LangGraph's CompiledStateGraph. The only importer of langgraph.

State is JSON: a key per input and per node, `messages` (appended; an edited tool call replaces the one
before), `visits`, `feedback` and `errors` (merged).

LangGraph runs, checkpoints and interrupts. Caches, retries and caps are ours: LangGraph's node cache serves the old
answer after an edited prompt, and its recursion limit raises without a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, assert_never

from orchmagic.core.portable import append_messages
from orchmagic.errors import Waiting
from orchmagic.graph.composition import pauses
from orchmagic.graph.model import END, Branch, Edge, Fork, Graph, Join, Node, Sub, targets
from orchmagic.graph.model import START as OUTSET
from orchmagic.runtime import nodes
from orchmagic.runtime.branching import EXITS, decide
from orchmagic.runtime.caller import is_inherited
from orchmagic.runtime.context import FEEDBACK, Context, State, Update
from orchmagic.runtime.subgraph_node import Inner

Compiled = Any  # CompiledStateGraph has four type parameters, none of use here


def compile_graph(graph: Graph, context: Callable[[], Context], checkpointer: Any = None) -> Compiled:
    """Compiles the graph. `context` makes an untraced Context for callers that pass none.

    `await compiled.ainvoke({input: value}, context=ctx)` returns the final state. A graph that can pause for a
    person needs a `checkpointer`; without one it gets LangGraph's in-memory saver.
    """
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415 - heavy

    saver = checkpointer or InMemorySaver() if pauses(graph) else None
    return _built(graph, context).compile(checkpointer=saver, name=graph.name)


def _built(graph: Graph, context: Callable[[], Context]) -> Any:
    from langgraph.graph import START, StateGraph  # noqa: PLC0415 - heavy

    builder: Any = StateGraph(_state_type(graph), context_schema=Context)
    for node in graph.nodes:
        builder.add_node(node.name, _runner(node, context))
    for name in graph.starts:
        builder.add_edge(START, name)
    for link in graph.links:
        match link:
            case Edge(source, target):
                builder.add_edge(source, target)
            case Branch():
                ways = {t for t in targets(link) if t not in EXITS}
                builder.add_conditional_edges(link.source, _chooser(link, context), sorted(ways | {END}))
            case Fork():
                for target in link.targets if link.source != OUTSET else ():
                    builder.add_edge(link.source, target)
            case Join():
                builder.add_edge(list(link.sources), link.target)
            case _:
                assert_never(link)
    return builder


def _state_type(graph: Graph) -> type:
    from typing_extensions import TypedDict  # noqa: PLC0415 - LangGraph's own choice, richer than typing's on 3.11

    merge = Annotated[dict[str, Any], _merge]
    keys: dict[str, Any] = dict.fromkeys((*graph.inputs, *(n.name for n in graph.nodes)), Any)
    own = {"messages": Annotated[list[Any], append_messages], "visits": merge, "errors": merge}
    keys |= {graph.own_key(name): kind for name, kind in own.items()} | {FEEDBACK: merge}
    return TypedDict("State", keys, total=False)  # type: ignore[operator,no-any-return]  # keys known at run time only


def _merge(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(old or {}), **(new or {})}


def _runner(node: Node, make: Callable[[], Context]) -> Any:
    from langgraph.runtime import Runtime  # noqa: PLC0415 - heavy
    from langgraph.types import interrupt  # noqa: PLC0415 - heavy

    inner = _inner(node, make) if isinstance(node, Sub) else None

    async def run(state: State, runtime: Runtime[Context]) -> Update:
        # LangGraph runs an interrupted node again from its start: the n-th `interrupt` then returns the n-th
        # reply, and earlier answers and effects come from the journal
        ctx = _context(runtime, make)
        while True:
            try:
                return await nodes.visit(node, state, ctx, inner)
            except Waiting as waiting:
                if ctx.outer is not None:
                    raise  # the outermost graph is the one that pauses
                _pause(waiting, ctx, interrupt)

    # LangGraph reads annotations at run time; ours are strings that name a local import
    run.__annotations__ = {"state": dict, "runtime": Runtime, "return": dict}
    return run


def _context(runtime: Any, make: Callable[[], Context]) -> Context:
    """The context that was passed; else, or if LangGraph handed down that of a step whose code invokes a graph, new."""
    given: Context | None = runtime.context
    return make() if given is None or is_inherited(given) else given


def _pause(waiting: Waiting, ctx: Context, interrupt: Callable[[Any], Any]) -> None:
    """Interrupts until a question of the node is answered: this one, or another one (by the reply's span)."""
    question = {"span": waiting.span, "question": waiting.question, "choices": waiting.choices, "value": waiting.value}
    while True:  # replies of earlier pauses come first; those questions are already answered
        reply = interrupt(question)
        if not (isinstance(reply, dict) and "span" in reply):
            reply = {"span": waiting.span, "reply": reply}  # from a caller that invokes the compiled graph itself
        answered = ctx.questions.pop(reply["span"], None)
        if answered is not None:
            ctx.journal.keep(answered.span, answered.key, reply["reply"])
            return


def _inner(node: Sub, make: Callable[[], Context]) -> Inner:
    """Returns the runner of an inner graph. It has no checkpoints: after a pause it is replayed from the journal."""
    compiled = _built(node.graph, make).compile(checkpointer=False, name=node.graph.name)
    limit = {"recursion_limit": node.graph.limits.supersteps}

    async def run(inputs: dict[str, Any], ctx: Context) -> Any:
        ctx.values.update(inputs)
        return await compiled.ainvoke(inputs, context=ctx, config=limit)

    return run


def _chooser(link: Branch, make: Callable[[], Context]) -> Any:
    from langgraph.runtime import Runtime  # noqa: PLC0415 - heavy

    async def choose(state: State, runtime: Runtime[Context]) -> str:
        ctx = _context(runtime, make)
        target, reason = await decide(link, state, ctx)
        if target in EXITS:
            raise EXITS[target](reason, node=link.source)
        return target

    choose.__annotations__ = {"state": dict, "runtime": Runtime, "return": str}
    return choose


def resume(interrupt: str, span: str, reply: object) -> Any:
    """The LangGraph Command that resumes a paused graph with `reply` to the question of `span`."""
    from langgraph.types import Command  # noqa: PLC0415 - heavy

    return Command(resume={interrupt: {"span": span, "reply": reply}})
