# Written by orchmagic (b9622471af0e); exporting again replaces it until you edit it.
"""solve: cheap models first, exported from a notebook.

answer    call     -> verify_1 (yes), verified (no)  [2 models]
verify_1  gate     -> judge (yes), verified (else)
judge     call     -> verify_2
verify_2  gate     -> verified
verified  gate     -> done (yes), answer (no <= 1), answered (else)
answered  code     -> done (yes), failed (else)

Run it: `python solve.py --question ...`
Or: `await build_graph().ainvoke({"question": ...})` returns the final state.

Stayed behind in the notebook:
- the cache of answers, guards, the trace and the live view
- the limit of 200,000 tokens a run
- the deadline of 600 s a run: only `run` keeps it
- the status `capped` after 50 steps: here LangGraph raises GraphRecursionError, later
- mending broken JSON before asking again: here the model is asked again at once
- timeouts of a whole answer: TIMEOUT is the openai client's, for every wait on the
  network
"""

import argparse
import asyncio
import json
import logging
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias, TypedDict

from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from openai import APIError, APIStatusError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

MODEL = "default-model"
SMALL = "small-model"
LARGE = "large-model"
# Asked in turn when a model fails, refuses or is cut off.
FALLBACK: tuple[str, ...] = ()
MAX_TOKENS = 1024  # of a reply
ANSWER_LADDER: tuple[str, ...] = (SMALL, LARGE)
TIMEOUT = 60.0  # seconds to wait for an endpoint
RETRIES = 2  # attempts after a failed one
REASKS = 1  # how often a reply that does not fit is asked again
VERIFIED_TO_ANSWER = 1  # times that verified may send back
MAX_STEPS = 350  # of a run, expressions too
DEADLINE = 600.0  # seconds, when `run` runs the graph
REASK = (
    "That reply does not fit: {error}. Answer again with only the JSON that fits the "
    "schema."
)
# Status codes that say that the request is wrong: no other model helps.
REJECTED = frozenset(range(400, 500)) - {402, 408, 429}
SHOWN = 5  # problems of a reply that its model is told at once
logger = logging.getLogger(__name__)
Messages: TypeAlias = list[dict[str, Any]]


# Prompts: what each step asks


def answer_prompt(question: str) -> Messages:
    """Say what answer asks."""
    user = f"Solve step by step. {question}"
    return [{"role": "user", "content": user}]


def judge_prompt(answer_: Any, question: str) -> Messages:
    """Say what judge asks."""
    system = (
        "You check answers. Reply with one number: the probability from 0 (surely "
        "wrong) to 1 (surely right) that the proposed answer is right."
    )
    user = (
        f"Question: {question} Proposed: {answer_.value}. Probability that it is right?"
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


# Types: what each step returns


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    work: str
    value: int


class Judge(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: float


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    question: str
    answer: dict[str, Any] | None
    verify_1: bool | None
    judge: Any
    verify_2: bool | None
    verified: bool
    answered: Any
    errors: Annotated[dict[str, Any], operator.or_]
    answer_visits: int
    verified_visits: int


# Asking models


class UnusableReplyError(Exception):
    """A model refused, was cut off or said nothing."""


class UnfitReplyError(ValueError):
    """A reply does not fit its class; the text tells the model what is wrong."""


async def first_usable(
    client: AsyncOpenAI,
    messages: Messages,
    *,
    models: Sequence[str] = (MODEL, *FALLBACK),
    max_tokens: int = MAX_TOKENS,
    **request: Any,
) -> Choice:
    """Ask the models in turn until one gives a usable answer."""
    failures: list[Exception] = []
    for model in models:
        body: dict[str, Any] = {"max_completion_tokens": max_tokens, **request}
        body |= {"model": model, "messages": messages}
        try:
            answer = await client.chat.completions.create(**body)
            return usable(answer.choices[0])
        except (APIError, UnusableReplyError) as error:
            if isinstance(error, APIStatusError) and error.status_code in REJECTED:
                raise
            logger.warning("%s: %s", model, error)
            failures.append(error)
    raise ExceptionGroup("no model gave a usable answer", failures)


async def ask(
    client: AsyncOpenAI,
    messages: Messages,
    kind: type[Any],
    *,
    reasks: int = REASKS,
    **request: Any,
) -> Any:
    """Ask for a reply that fits the class; the model is told what does not."""
    form: dict[str, Any] = {"name": kind.__name__, "strict": True}
    form["schema"] = TypeAdapter(kind).json_schema()
    request["response_format"] = {"type": "json_schema", "json_schema": form}
    while True:
        choice = await first_usable(client, messages, **request)
        reply = choice.message.content or ""
        try:
            return read_reply(kind, reply)
        except UnfitReplyError as error:
            if not reasks:
                raise
            wrong = {"role": "user", "content": REASK.format(error=error)}
            said = {"role": "assistant", "content": reply}
        messages = [*messages, said, wrong]
        reasks -= 1


def usable(choice: Choice) -> Choice:
    """Return the choice if it is an answer."""
    message, reason = choice.message, choice.finish_reason
    if message.refusal or reason == "content_filter":
        raise UnusableReplyError(f"refused: {message.refusal or 'content filter'}")
    if reason == "length":
        raise UnusableReplyError("cut off: raise MAX_TOKENS, or ask for less")
    if not (message.content or "").strip() and not message.tool_calls:
        raise UnusableReplyError("the reply is empty")
    return choice


def read_reply(kind: type[Any], reply: str) -> Any:
    """Return the reply as JSON that fits the class."""
    adapter = TypeAdapter(kind)
    known = adapter.json_schema().get("properties", {})
    try:
        data = json.loads(reply)
    except ValueError:
        wrong = "is no valid JSON: answer with one JSON object"
        if "{" not in reply:
            wrong = "holds no JSON: answer with one JSON object and nothing else"
        raise UnfitReplyError(f"the reply {wrong}") from None
    if not isinstance(data, dict) or (known and not known.keys() & data.keys()):
        listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in known)
        raise UnfitReplyError(f"the reply must be a JSON object with {listed}")
    try:
        return to_jsonable_python(adapter.validate_json(json.dumps(data)))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        shown = [wrong_with(dict(problem)) for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            shown.append(f"and {len(problems) - SHOWN} more")
        listed = "; ".join(shown)
        raise UnfitReplyError(f"the reply does not fit: {listed}") from None


def wrong_with(problem: dict[str, Any]) -> str:
    """Say one thing that is wrong with a reply: where, what, what was found."""
    where = ".".join(str(part) for part in problem["loc"]) or "the reply"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: not asked for"
    got = json.dumps(problem["input"], ensure_ascii=False, default=str)[:80]
    return f"{where}: {problem['msg']} (got {got})"


def rebuilt(kind: type[Any], value: object) -> Any:
    """Return a value of the state as its class; None for a step that did not run."""
    if value is None:
        return None
    return TypeAdapter(kind).validate_json(json.dumps(value))


# Side by side


async def isolated(
    state: Any,
    *,
    step: str,
    node: Callable[[Any], Awaitable[Any]],
    visits: str = "",
) -> Any:
    """Run a node; a failure makes its value None and leaves the other nodes alone."""
    try:
        return await node(state)
    except GraphBubbleUp:  # a person is asked
        raise
    except Exception as error:
        logger.exception("%s failed", step)
        counted = {visits: state.get(visits, 0) + 1} if visits else {}
        return {step: None, "errors": {step: str(error)}, **counted}


# Nodes


async def answer(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for work and value."""
    question = state["question"]
    messages = answer_prompt(question)
    rung = min(state.get("answer_visits", 0), len(ANSWER_LADDER) - 1)
    models = (ANSWER_LADDER[rung],)
    value = await ask(client, messages, Answer, models=models)
    return {"answer": value, "answer_visits": state.get("answer_visits", 0) + 1}


async def verify_1(state: State) -> State:
    """Check what the steps before it found."""
    answer_ = rebuilt(Answer, state.get("answer"))
    passed = str(answer_.value) in answer_.work
    return {"verify_1": passed}


async def judge(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for judge."""
    answer_ = rebuilt(Answer, state.get("answer"))
    question = state["question"]
    messages = judge_prompt(answer_, question)
    value = await ask(client, messages, Judge, models=(LARGE, *FALLBACK))
    return {"judge": value["value"]}


async def verify_2(state: State) -> State:
    """Check what the steps before it found."""
    judge: Any = state.get("judge")
    passed = bool(judge is not None and 0 <= judge <= 1 and (judge >= 0.8))  # noqa: PLR2004 - as in the cell
    return {"verify_2": passed}


async def verified(state: State) -> State:
    """Check what the steps before it found."""
    answer_ = rebuilt(Answer, state.get("answer"))
    verify_1: Any = state.get("verify_1")
    verify_2: Any = state.get("verify_2")
    passed = bool(answer_ is not None and verify_1 and verify_2)
    return {"verified": passed, "verified_visits": state.get("verified_visits", 0) + 1}


async def answered_step(state: State) -> State:
    """Compute answered."""
    answer_ = rebuilt(Answer, state.get("answer"))
    value = answer_ is not None
    return {"answered": to_jsonable_python(value)}


# Graph


def after_answer(state: State) -> str:
    """Choose where the run goes after answer."""
    answer_ = rebuilt(Answer, state.get("answer"))
    choice = answer_ is not None
    if choice:
        return "verify_1"
    return "verified"


def after_verify_1(state: State) -> str:
    """Choose where the run goes after verify_1."""
    verify_1: Any = state.get("verify_1")
    if verify_1:
        return "judge"
    return "verified"


def after_verified(state: State) -> str:
    """Choose where the run goes after verified."""
    verified = state["verified"]
    if verified:
        return END
    if state["verified_visits"] <= VERIFIED_TO_ANSWER:
        return "answer"
    return "answered"


def after_answered_step(state: State) -> str:
    """Choose where the run goes after answered."""
    answered_ = state["answered"]
    if answered_:
        return END
    raise RuntimeError("none of small, large gave an answer that can be read")


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT)
    builder = StateGraph(State)
    builder.add_node(
        "answer",
        partial(
            isolated,
            step="answer",
            node=partial(answer, client=client),
            visits="answer_visits",
        ),
    )
    builder.add_node("verify_1", partial(isolated, step="verify_1", node=verify_1))
    builder.add_node(
        "judge",
        partial(isolated, step="judge", node=partial(judge, client=client)),
    )
    builder.add_node("verify_2", partial(isolated, step="verify_2", node=verify_2))
    builder.add_node("verified", verified)
    builder.add_node("answered", answered_step)
    builder.add_edge(START, "answer")
    builder.add_conditional_edges("answer", after_answer, ["verify_1", "verified"])
    builder.add_conditional_edges("verify_1", after_verify_1, ["judge", "verified"])
    builder.add_edge("judge", "verify_2")
    builder.add_edge("verify_2", "verified")
    builder.add_conditional_edges(
        "verified",
        after_verified,
        [END, "answer", "answered"],
    )
    builder.add_conditional_edges("answered", after_answered_step, [END])
    graph = builder.compile(name="solve")
    return graph.with_config(recursion_limit=MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the run's result: the last of these values that there is."""
    values = [state.get("answer")]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    async with asyncio.timeout(DEADLINE):
        state = await build_graph().ainvoke(inputs)
    return result(state)


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="solve: run it once and print the result.",
    )
    parser.add_argument("--question", required=True, help="text")
    arguments = parser.parse_args()
    inputs = State(question=arguments.question)
    found = asyncio.run(run(inputs))
    if not isinstance(found, str):
        found = json.dumps(found, indent=2, ensure_ascii=False)
    print(found)


if __name__ == "__main__":
    main()
