# Written by orchmagic (40977ad72542); exporting again replaces it until you edit it.
"""helpdesk: a router and its handlers, exported from a notebook.

router     call     -> billing, technical, human, human (else)
billing    call     -> done
technical  call     -> done
human      approve  -> done

Run it: `python helpdesk.py --question ...`
Or: `await build_graph().ainvoke({"question": ...})` returns the final state. It pauses
for a person, so it needs a `thread_id`, and `Command(resume=...)` goes on.

Stayed behind in the notebook:
- the cache of answers, guards, the trace and the live view
- the limit of 200,000 tokens a run
- the deadline of 600 s a run
- the status `capped` after 50 steps: here LangGraph raises GraphRecursionError, later
- mending broken JSON before asking again: here the model is asked again at once
- timeouts of a whole answer: TIMEOUT is the openai client's, for every wait on the
  network
"""

import argparse
import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt
from openai import APIError, APIStatusError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

MODEL = "default-model"
# Asked in turn when a model fails, refuses or is cut off.
FALLBACK: tuple[str, ...] = ()
MAX_TOKENS = 1024  # of a reply
TIMEOUT = 60.0  # seconds to wait for an endpoint
RETRIES = 2  # attempts after a failed one
REASKS = 1  # how often a reply that does not fit is asked again
ROUTER_LABELS = ["billing", "technical", "human"]
MAX_STEPS = 350  # of a run, expressions too
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


def router_prompt(question: str) -> Messages:
    """Say what router asks."""
    system = (
        "Choose the one label that fits best. Labels:\n"
        "- billing: refunds, invoices, double charges\n"
        "- technical: errors, crashes, API questions\n"
        "- human: anything legal, angry or unclear"
    )
    user = f"Which team should answer? {question}"
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def billing_prompt(question: str) -> Messages:
    """Say what billing asks."""
    user = f"You are a billing specialist. {question}"
    return [{"role": "user", "content": user}]


def technical_prompt(question: str) -> Messages:
    """Say what technical asks."""
    user = f"Ask for logs if there are none. {question}"
    return [{"role": "user", "content": user}]


def human_question(question: str) -> str:
    """Say what human asks a person."""
    return f"Please answer: {question}"


# Types: what each step returns


class Router(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Literal["billing", "technical", "human"]
    confidence: Annotated[float, Field(ge=0, le=1)]


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    question: str
    router: dict[str, Any] | None
    billing: str
    technical: str
    human: Any


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


# Nodes


async def router(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for label."""
    question = state["question"]
    messages = router_prompt(question)
    try:
        value = await ask(client, messages, Router)
    except UnfitReplyError:
        return {"router": None}
    return {"router": value}


async def billing(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for a text."""
    question = state["question"]
    messages = billing_prompt(question)
    choice = await first_usable(client, messages)
    return {"billing": choice.message.content or ""}


async def technical(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for a text."""
    question = state["question"]
    messages = technical_prompt(question)
    choice = await first_usable(client, messages)
    return {"technical": choice.message.content or ""}


async def human(state: State) -> State:
    """Wait for a person's answer."""
    question = state["question"]
    asked = human_question(question)
    answer = interrupt({"step": "human", "question": asked})
    return {"human": answer}


# Graph


def after_router(state: State) -> str:
    """Choose where the run goes after router."""
    router = rebuilt(Router, state.get("router"))
    choice = router.label if router else None
    if choice in ROUTER_LABELS:
        return str(choice)
    return "human"


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT)
    builder = StateGraph(State)
    builder.add_node("router", partial(router, client=client))
    builder.add_node("billing", partial(billing, client=client))
    builder.add_node("technical", partial(technical, client=client))
    builder.add_node("human", human)
    builder.add_edge(START, "router")
    builder.add_conditional_edges(
        "router",
        after_router,
        ["billing", "technical", "human"],
    )
    builder.add_edge("billing", END)
    builder.add_edge("technical", END)
    builder.add_edge("human", END)
    graph = builder.compile(checkpointer=InMemorySaver(), name="helpdesk")
    return graph.with_config(recursion_limit=MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the run's result: the last of these values that there is."""
    values = [state.get("human"), state.get("technical"), state.get("billing")]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    graph = build_graph().with_config(configurable={"thread_id": "main"})
    state = await graph.ainvoke(inputs)
    while pauses := state.get("__interrupt__"):
        answer = await asyncio.to_thread(answered, pauses[0].value)
        state = await graph.ainvoke(Command(resume={pauses[0].id: answer}))
    return result(state)


def answered(asked: Mapping[str, Any]) -> Any:
    """Ask a person at the terminal."""
    return input(f"{asked['question']}\n> ")


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="helpdesk: run it once and print the result.",
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
