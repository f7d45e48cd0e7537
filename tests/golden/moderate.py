# Written by orchmagic (6f6069d65f86); exporting again replaces it until you edit it.
"""moderate: steps side by side, exported from a notebook.

start              -> toxicity, personal (side by side)
toxicity  call     -> gathered  [x5 votes]
personal  call     -> gathered
gathered  code     -> merge (yes), failed (else)
merge     call     -> done

Run it: `python moderate.py --post ...`
Or: `await build_graph().ainvoke({"post": ...})` returns the final state.

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
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from openai import APIError, APIStatusError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

MODEL = "default-model"
LARGE = "large-model"
# Asked in turn when a model fails, refuses or is cut off.
FALLBACK: tuple[str, ...] = ()
MAX_TOKENS = 1024  # of a reply
TIMEOUT = 60.0  # seconds to wait for an endpoint
RETRIES = 2  # attempts after a failed one
REASKS = 1  # how often a reply that does not fit is asked again
MAX_STEPS = 350  # of a run, expressions too
DEADLINE = 600.0  # seconds, when `run` runs the graph
TOXICITY_TEMPERATURE = 0.9
TOXICITY_VOTES = 5
TOXICITY_LEAST = 0.6  # share of the votes that must agree
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


def toxicity_prompt(post: str) -> Messages:
    """Say what toxicity asks."""
    user = f"Is this post toxic? {post}"
    return [{"role": "user", "content": user}]


def personal_prompt(post: str) -> Messages:
    """Say what personal asks."""
    user = f"Does the post contain personal data? {post}"
    return [{"role": "user", "content": user}]


def merge_prompt(personal: Any, toxicity: Any) -> Messages:
    """Say what merge asks."""
    user = f"Votes: {as_text(toxicity)}. Personal data: {as_text(personal)}. Decide."
    return [{"role": "user", "content": user}]


# Types: what each step returns


class Toxicity(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Literal["ok", "toxic"]
    reason: str


class Personal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: bool


class Merge(BaseModel):
    model_config = ConfigDict(extra="forbid")

    publish: bool
    why: str


class ToxicityVotes(Toxicity):
    agreement: float
    dissent: list[Any]
    tie: bool
    decided: bool


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    post: str
    toxicity: dict[str, Any] | None
    personal: Any
    gathered: Any
    merge: dict[str, Any]
    errors: Annotated[dict[str, Any], operator.or_]


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


# Side by side


async def voted(
    vote: Callable[[], Awaitable[Any]],
    count: int,
    *,
    by: str = "",
    least: float = 0,
    judge: Callable[[], Awaitable[Any]] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Ask several times; what most votes say wins, and of equals what came first.

    A vote that fails agrees with nobody. When less than the share `least` agrees, the
    judge decides, if there is one.
    """
    ballots = (vote() for _ in range(count))
    found = await asyncio.gather(*ballots, return_exceptions=True)
    given = [vote for vote in found if not isinstance(vote, BaseException)]
    if not given:
        raise RuntimeError("not one vote was given") from found[0]
    names = [ballot(vote, by) for vote in given]
    counts = Counter(names)
    name, most = counts.most_common(1)[0]
    winner, agreement = given[names.index(name)], most / count
    told = {
        "agreement": agreement,
        "dissent": [v for v, own in zip(given, names, strict=True) if own != name],
        "tie": sum(number == most for number in counts.values()) > 1,
        "decided": agreement >= least,
    }
    if agreement < least and judge:
        winner, told["decided"] = await judge(), True
    return winner, told


def ballot(vote: Any, by: str) -> str:
    """Return what votes are counted by: the field, or all of the vote."""
    chosen = vote[by] if by else vote
    if isinstance(chosen, str):
        return chosen.strip().casefold()
    return json.dumps(chosen, sort_keys=True)


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


async def toxicity_vote(state: State, *, client: AsyncOpenAI) -> Any:
    """Ask a model for one vote on toxicity."""
    post = state["post"]
    messages = toxicity_prompt(post)
    return await ask(client, messages, Toxicity, temperature=TOXICITY_TEMPERATURE)


async def toxicity(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for label and reason several times; what most say wins."""
    vote = partial(toxicity_vote, state, client=client)
    winner, told = await voted(vote, TOXICITY_VOTES, by="label", least=TOXICITY_LEAST)
    return {"toxicity": {**winner, **told}}


async def personal(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for personal."""
    post = state["post"]
    messages = personal_prompt(post)
    value = await ask(client, messages, Personal)
    return {"personal": value["value"]}


async def gathered(state: State) -> State:
    """Compute gathered."""
    personal: Any = state.get("personal")
    toxicity = rebuilt(ToxicityVotes, state.get("toxicity"))
    value = [
        name
        for (name, value) in {"toxicity": toxicity, "personal": personal}.items()
        if value is not None
    ]
    return {"gathered": to_jsonable_python(value)}


async def merge(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for publish and why."""
    personal: Any = state.get("personal")
    toxicity = rebuilt(ToxicityVotes, state.get("toxicity"))
    messages = merge_prompt(personal, toxicity)
    value = await ask(client, messages, Merge, models=(LARGE, *FALLBACK))
    return {"merge": value}


# Graph


def after_gathered(state: State) -> str:
    """Choose where the run goes after gathered."""
    gathered = state["gathered"]
    if gathered:
        return "merge"
    raise RuntimeError("no section gave a value")


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT)
    builder = StateGraph(State)
    builder.add_node(
        "toxicity",
        partial(isolated, step="toxicity", node=partial(toxicity, client=client)),
    )
    builder.add_node(
        "personal",
        partial(isolated, step="personal", node=partial(personal, client=client)),
    )
    builder.add_node("gathered", gathered)
    builder.add_node("merge", partial(merge, client=client))
    builder.add_edge(START, "toxicity")
    builder.add_edge(START, "personal")
    builder.add_edge(["toxicity", "personal"], "gathered")
    builder.add_conditional_edges("gathered", after_gathered, ["merge"])
    builder.add_edge("merge", END)
    graph = builder.compile(name="moderate")
    return graph.with_config(recursion_limit=MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the run's result: the last of these values that there is."""
    values = [state.get("merge")]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    async with asyncio.timeout(DEADLINE):
        state = await build_graph().ainvoke(inputs)
    return result(state)


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="moderate: run it once and print the result.",
    )
    parser.add_argument("--post", required=True, help="text")
    arguments = parser.parse_args()
    inputs = State(post=arguments.post)
    found = asyncio.run(run(inputs))
    if not isinstance(found, str):
        found = json.dumps(found, indent=2, ensure_ascii=False)
    print(found)


if __name__ == "__main__":
    main()
