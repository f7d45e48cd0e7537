# Written by orchmagic (f914c25a809f); exporting again replaces it until you edit it.
"""tagline: drafts that are judged and improved, exported from a notebook.

generate  call     -> evaluate
evaluate  call     -> rounds
rounds    code     -> best
best      code     -> done (yes), generate (no <= 3), capped (else)

Run it: `python tagline.py --product ...`
Or: `await build_graph().ainvoke({"product": ...})` returns the final state.

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
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeAlias, TypedDict

from jinja2 import Environment, StrictUndefined
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from openai import APIError, APIStatusError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

MODEL = "default-model"
# Asked in turn when a model fails, refuses or is cut off.
FALLBACK: tuple[str, ...] = ()
MAX_TOKENS = 1024  # of a reply
TIMEOUT = 60.0  # seconds to wait for an endpoint
RETRIES = 2  # attempts after a failed one
REASKS = 1  # how often a reply that does not fit is asked again
BEST_TO_GENERATE = 3  # times that best may send back
MAX_STEPS = 350  # of a run, expressions too
DEADLINE = 600.0  # seconds, when `run` runs the graph
GENERATE_TEMPERATURE = 0.9
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


GENERATE_USER = (
    "A tagline for {{ product }}. {% if evaluate %}Improve on: {{ evaluate.feedback "
    "}}{% endif %}"
)


def generate_prompt(evaluate: Any, product: str) -> Messages:
    """Say what generate asks."""
    user = rendered(GENERATE_USER, evaluate=evaluate, product=product)
    return [{"role": "user", "content": user}]


def evaluate_prompt(generate: str) -> Messages:
    """Say what evaluate asks."""
    user = f"Score from 0 to 10: {generate}"
    return [{"role": "user", "content": user}]


# Types: what each step returns


class Evaluate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    score: float
    feedback: str


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    product: str
    generate: str
    evaluate: dict[str, Any]
    rounds: Any
    best: Any
    best_visits: int


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


def environment() -> Environment:
    """Return Jinja for prompts: no HTML, no comments, missing names are errors."""
    return Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are text for a model, not HTML
        keep_trailing_newline=True,
        comment_start_string="\uf8ff{#no comments\uf8ff",
        comment_end_string="\uf8ffno comments#}\uf8ff",
        finalize=as_text,
    )


def rendered(template: str, **values: Any) -> str:
    """Fill in a prompt that has logic."""
    return environment().from_string(template).render(values)


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


def as_text(value: object) -> str:
    """Write a value as prompts show it: text as it is, records and lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    record = is_dataclass(value) or hasattr(value, "model_dump_json")
    if record or isinstance(value, dict | list | tuple):
        return to_json(value, fallback=str).decode()
    return str(value)


# Nodes


async def generate(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for a text."""
    evaluate = rebuilt(Evaluate, state.get("evaluate"))
    product = state["product"]
    messages = generate_prompt(evaluate, product)
    choice = await first_usable(client, messages, temperature=GENERATE_TEMPERATURE)
    return {"generate": choice.message.content or ""}


async def evaluate(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for score and feedback."""
    generate = state["generate"]
    messages = evaluate_prompt(generate)
    value = await ask(client, messages, Evaluate)
    return {"evaluate": value}


async def rounds(state: State) -> State:
    """Compute rounds."""
    evaluate = Evaluate.model_validate(state["evaluate"])
    generate = state["generate"]
    rounds: Any = state.get("rounds")
    value = [
        *(rounds or []),
        {
            "round": len(rounds or []) + 1,
            "score": evaluate.score,
            "met": bool(evaluate.score >= 8),  # noqa: PLR2004 - as in the cell
            "value": generate,
        },
    ]
    return {"rounds": to_jsonable_python(value)}


async def best(state: State) -> State:
    """Compute best."""
    rounds = state["rounds"]
    value = max(reversed(rounds), key=lambda r: (r["met"], r["score"]))["value"]
    return {
        "best": to_jsonable_python(value),
        "best_visits": state.get("best_visits", 0) + 1,
    }


# Graph


def after_best(state: State) -> str:
    """Choose where the run goes after best."""
    rounds = state["rounds"]
    choice = rounds[-1]["met"]
    if choice:
        return END
    if state["best_visits"] <= BEST_TO_GENERATE:
        return "generate"
    why = "4 rounds were not enough; the best one is the result"
    logger.warning("ended early: %s", why)
    return END


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT)
    builder = StateGraph(State)
    builder.add_node("generate", partial(generate, client=client))
    builder.add_node("evaluate", partial(evaluate, client=client))
    builder.add_node("rounds", rounds)
    builder.add_node("best", best)
    builder.add_edge(START, "generate")
    builder.add_edge("generate", "evaluate")
    builder.add_edge("evaluate", "rounds")
    builder.add_edge("rounds", "best")
    builder.add_conditional_edges("best", after_best, [END, "generate"])
    graph = builder.compile(name="tagline")
    return graph.with_config(recursion_limit=MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the run's result: the last of these values that there is."""
    values = [state.get("best"), state.get("generate")]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    async with asyncio.timeout(DEADLINE):
        state = await build_graph().ainvoke(inputs)
    return result(state)


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="tagline: run it once and print the result.",
    )
    parser.add_argument("--product", required=True, help="text")
    arguments = parser.parse_args()
    inputs = State(product=arguments.product)
    found = asyncio.run(run(inputs))
    if not isinstance(found, str):
        found = json.dumps(found, indent=2, ensure_ascii=False)
    print(found)


if __name__ == "__main__":
    main()
