"""Graph -> LangGraph's CompiledStateGraph. The only importer of langgraph.

State is JSON: a key per input and per node, `messages` (appended), `visits`, `feedback` and `errors` (merged).
LangGraph runs, checkpoints and interrupts; caches, retries and caps are ours (its node cache serves the old answer
after an edited prompt, and its recursion limit raises without a result).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, assert_never

from orchmagic.errors import Capped, GateFailed, Stopped, Waiting
from orchmagic.graph.composition import pauses
from orchmagic.graph.model import (
    CAP,
    END,
    FAIL,
    STOP,
    Arm,
    Branch,
    Call,
    Code,
    Edge,
    Fork,
    Graph,
    Join,
    Node,
    Sub,
    targets,
)
from orchmagic.graph.model import START as OUTSET
from orchmagic.runtime import nodes
from orchmagic.runtime.context import Context, State, Update, evaluate, scope
from orchmagic.runtime.subgraph_node import Inner
from orchmagic.trace.events import Decided
from orchmagic.trace.reasons import Reason, because

Compiled = Any  # CompiledStateGraph has four type parameters that say nothing here
_WORDS = {END: "done", FAIL: "failed", STOP: "stopped", CAP: "capped"}
_BASES = {FAIL: GateFailed, STOP: Stopped, CAP: Capped}


def compile_graph(graph: Graph, context: Callable[[], Context], checkpointer: Any = None) -> Compiled:
    """The runnable graph. `context` makes a fresh untraced Context for whoever calls it without one.

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
                ways = {t for t in targets(link) if t not in _BASES}
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
    keys |= {"messages": Annotated[list[Any], operator.add], "visits": merge, "feedback": merge, "errors": merge}
    return TypedDict("State", keys, total=False)  # type: ignore[operator,no-any-return]  # keys known at run time only


def _merge(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(old or {}), **(new or {})}


def _runner(node: Node, make: Callable[[], Context]) -> Any:
    from langgraph.runtime import Runtime  # noqa: PLC0415 - heavy
    from langgraph.types import interrupt  # noqa: PLC0415 - heavy

    inner = _inner(node, make) if isinstance(node, Sub) else None

    async def run(state: State, runtime: Runtime[Context]) -> Update:
        # LangGraph runs a node that was interrupted again from its start, and the first `interrupt` of that run
        # returns the first reply, and so on: what was paid or done meanwhile comes from the journal
        ctx = runtime.context or make()
        while True:
            try:
                return await nodes.visit(node, state, ctx, inner)
            except Waiting as waiting:
                if ctx.outer is not None:
                    raise  # the outermost graph is the one that pauses
                _hear(waiting, ctx, interrupt)

    # LangGraph reads annotations at run time; ours are text naming a local import
    run.__annotations__ = {"state": dict, "runtime": Runtime, "return": dict}
    return run


def _hear(waiting: Waiting, ctx: Context, interrupt: Callable[[Any], Any]) -> None:
    """Pause for a reply to this question, or to another one that the node waits with: the reply names its span."""
    question = {"span": waiting.span, "question": waiting.question, "choices": waiting.choices, "value": waiting.value}
    while True:  # replies of earlier pauses come first: their questions wait no more
        reply = interrupt(question)
        if not (isinstance(reply, dict) and "span" in reply):
            reply = {"span": waiting.span, "reply": reply}  # of who drives the compiled graph without us
        answered = ctx.asked.pop(reply["span"], None)
        if answered is not None:
            ctx.journal.keep(answered.span, answered.key, reply["reply"])
            return


def _inner(node: Sub, make: Callable[[], Context]) -> Inner:
    """An inner graph has no checkpoints of its own: it is run again from the journal."""
    compiled = _built(node.graph, make).compile(checkpointer=False, name=node.graph.name)
    limit = {"recursion_limit": node.graph.limits.supersteps}

    async def run(inputs: dict[str, Any], ctx: Context) -> Any:
        ctx.values.update(inputs)
        return await compiled.ainvoke(inputs, context=ctx, config=limit)

    return run


def _chooser(link: Branch, make: Callable[[], Context]) -> Any:
    from langgraph.runtime import Runtime  # noqa: PLC0415 - heavy

    async def choose(state: State, runtime: Runtime[Context]) -> str:
        ctx = runtime.context or make()
        target, reason = await decide(link, state, ctx)
        if target in _BASES:
            raise _BASES[target](reason, node=link.source)
        return target

    choose.__annotations__ = {"state": dict, "runtime": Runtime, "return": str}
    return choose


async def decide(link: Branch, state: State, ctx: Context) -> tuple[str, str]:
    """(target, why) of a branch: the first arm whose label fits and whose limit is not used up."""
    seen = scope(state, ctx)
    value = await evaluate(link.on, seen, link.source)
    visits = state.get("visits", {}).get(link.source, 0)
    span = f"{ctx.path}{link.source}#{visits}"
    arm = next((a for a in link.arms if a.label == value and (a.limit is None or visits <= a.limit)), None)
    target = arm.target if arm else link.otherwise
    reason = _reason(link, arm, value, seen, ctx)
    if reason is None:
        return target, ""
    found = seen.get(link.source)
    sure, choice = _part(found, "confidence"), _WORDS.get(target, target)
    basis = _told(found, "basis") or _basis(link, sure, ctx)
    ctx.emit(Decided(span=span, choice=choice, reason=reason, confidence=sure, basis=basis))
    return target, because(reason)


def _reason(link: Branch, arm: Arm | None, value: object, seen: Mapping[str, object], ctx: Context) -> Reason | None:
    """Why the run goes where it goes; None when there is nothing to say (a gate that holds, a loop's end)."""
    source = ctx.graph.node(link.source)
    if isinstance(source, Code) and source.gate:
        return None if value else _gate_reason(link, arm, source, seen)
    found = seen.get(link.source)
    if arm is not None:
        if not isinstance(value, str):
            return None
        explained = _told(found, "why")
        return Reason("decision", cause="explained" if explained else "label", text=explained)
    if link.otherwise in _BASES:
        errors = seen.get("errors")
        known = errors if isinstance(errors, dict) and link.otherwise == FAIL else {}
        failed = "; ".join(f"{name}: {e}" for name, e in known.items() if isinstance(e, str))
        return Reason("decision", cause="limit", detail=link.why, text=failed)
    if value is None:
        label = _part(found, "label")
        return Reason("decision", cause="unsure" if label else "no_label", text=str(label or ""))
    return Reason("decision", cause="no_arm", text=repr(value))


def _gate_reason(link: Branch, arm: Arm | None, source: Code, seen: Mapping[str, object]) -> Reason:
    if arm is None and link.otherwise in {STOP, CAP}:
        return Reason("decision", cause="limit", detail=link.why)
    return Reason("decision", cause="gate", expression=source.expression, text=nodes.because(source, seen))


def _part(value: object, name: str) -> Any:
    """What a router says beside its label: a model's in an attribute, code's in a dict."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _told(value: object, name: str) -> str:
    """What code says of its own choice; fields of a model's reply have these names for other things."""
    return str(value.get(name) or "") if isinstance(value, dict) else ""


def _basis(link: Branch, sure: float | None, ctx: Context) -> str:
    if sure is None:
        return ""
    node = ctx.graph.node(link.source)
    measured = isinstance(node, Call) and ctx.deployment(ctx.defaults.models(node)[0]).logprobs
    return "logprobs" if measured else "self-report"


def resume(interrupt: str, span: str, reply: object) -> Any:
    """What to invoke a paused graph with, so that the question of `span` is answered with `reply`."""
    from langgraph.types import Command  # noqa: PLC0415 - heavy

    return Command(resume={interrupt: {"span": span, "reply": reply}})
