"""Graph -> LangGraph's CompiledStateGraph. The only importer of langgraph.

State is JSON: a key per input and per node, `messages` (appended), `visits` and `feedback` (merged). LangGraph
runs, checkpoints and interrupts; caches, retries and caps are ours (its node cache serves the old answer after
an edited prompt, and its recursion limit raises without a result).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, assert_never

from orchmagic import steps
from orchmagic.context import Context, State, Update, evaluate, scope
from orchmagic.errors import Capped, GateFailed, Stopped
from orchmagic.events import Decided
from orchmagic.graph import CAP, END, FAIL, STOP, Approve, Arm, Branch, Code, Edge, Graph, Node

Compiled = Any  # CompiledStateGraph has four type parameters that say nothing here
_WORDS = {END: "done", FAIL: "failed", STOP: "stopped", CAP: "capped"}
_BASES = {FAIL: GateFailed, STOP: Stopped, CAP: Capped}


def compile_graph(graph: Graph, context: Callable[[], Context]) -> Compiled:
    """The runnable graph. `context` makes a fresh untraced Context for whoever calls it without one.

    `await compiled.ainvoke({input: value}, context=ctx)` returns the final state.
    """
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415 - heavy
    from langgraph.graph import START, StateGraph  # noqa: PLC0415 - heavy

    builder: Any = StateGraph(_state_type(graph), context_schema=Context)
    for node in graph.nodes:
        builder.add_node(node.name, _runner(node, context))
    builder.add_edge(START, graph.first)
    for link in graph.links:
        match link:
            case Edge(source, target):
                builder.add_edge(source, target)
            case Branch():
                targets = {t for s, t in graph.arrows() if s == link.source} - _BASES.keys()
                builder.add_conditional_edges(link.source, _chooser(link, context), sorted(targets | {END}))
            case _:
                assert_never(link)
    pauses = any(isinstance(n, Approve) for n in graph.nodes)
    return builder.compile(checkpointer=InMemorySaver() if pauses else None, name=graph.name)


def _state_type(graph: Graph) -> type:
    from typing_extensions import TypedDict  # noqa: PLC0415 - LangGraph's own choice, richer than typing's on 3.11

    merge = Annotated[dict[str, Any], _merge]
    keys: dict[str, Any] = dict.fromkeys((*graph.inputs, *(n.name for n in graph.nodes)), Any)
    keys |= {"messages": Annotated[list[Any], operator.add], "visits": merge, "feedback": merge}
    return TypedDict("State", keys, total=False)  # type: ignore[operator,no-any-return]  # keys known at run time only


def _merge(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(old or {}), **(new or {})}


def _runner(node: Node, make: Callable[[], Context]) -> Any:
    from langgraph.runtime import Runtime  # noqa: PLC0415 - heavy
    from langgraph.types import interrupt  # noqa: PLC0415 - heavy

    async def run(state: State, runtime: Runtime[Context]) -> Update:
        return await steps.visit(node, state, runtime.context or make())

    async def pause(state: State, runtime: Runtime[Context]) -> Update:
        # LangGraph runs this again from the top when the reply is there: nothing but the question may stand here
        ctx = runtime.context or make()
        assert isinstance(node, Approve)
        span, question = steps.open_question(node, state, ctx)
        if span not in ctx.asked:
            ctx.asked.add(span)
            steps.begin_question(node, span, question, ctx)
        reply = interrupt({"step": node.name, "question": question})
        return steps.take_reply(node, span, reply, ctx)

    # LangGraph reads annotations at run time; ours are text naming a local import
    for function in (run, pause):
        function.__annotations__ = {"state": dict, "runtime": Runtime, "return": dict}
    return pause if isinstance(node, Approve) else run


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
    """(target, reason) of a branch: the first arm whose label fits and whose limit is not used up."""
    seen = scope(state, ctx)
    value = await evaluate(link.on, seen, link.source)
    visits = state.get("visits", {}).get(link.source, 0)
    span = f"{link.source}#{visits}"
    arm = next((a for a in link.arms if a.label == value and visits <= (a.limit or visits)), None)
    target = arm.target if arm else link.otherwise
    reason = _reason(link, arm, value, seen, ctx)
    if reason:
        sure = getattr(seen.get(link.source), "confidence", None)
        choice = _WORDS.get(target, target)
        ctx.emit(Decided(span=span, choice=choice, reason=reason, confidence=sure, basis=_basis(link, sure, ctx)))
    return target, reason


def _reason(link: Branch, arm: Arm | None, value: object, seen: Mapping[str, object], ctx: Context) -> str:
    """Why the run goes where it goes; empty when there is nothing to tell (a gate that holds, a loop's end)."""
    source = ctx.graph.node(link.source)
    if isinstance(source, Code) and source.gate:
        told = f"{source.expression} is false{steps.because(source, seen)}"
        return "" if value else link.why if arm is None and link.otherwise in {STOP, CAP} else told
    if arm is not None:
        return str(value) if isinstance(value, str) else ""
    if link.otherwise in _BASES:
        return link.why
    chosen = getattr(seen.get(link.source), "label", None)
    if value is None:
        return f"not sure enough of {chosen!r}" if chosen else "no known label"
    return f"no arm for {value!r}"


def _basis(link: Branch, sure: float | None, ctx: Context) -> str:
    if sure is None:
        return ""
    node = ctx.graph.node(link.source)
    model = getattr(node, "model", None) or ctx.graph.model or ctx.defaults.model
    return "logprobs" if ctx.deployment(model).logprobs else "self-report"


def resume(reply: object) -> Any:
    """What to invoke a paused graph with, so that it goes on with `reply`."""
    from langgraph.types import Command  # noqa: PLC0415 - heavy

    return Command(resume=reply)
