# Written by orchmagic (e919093c977d); exporting again replaces it until you edit it.
"""orders: an agent with tools, exported from a notebook.

agent  call     -> tools (yes <= 7), done (no), capped (else)
tools  tools    -> agent

Run it: `python orders.py --question ...`
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
import inspect
import json
import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

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
MAX_ITERATIONS = 8  # rounds of a loop; then the run ends with what it has
MAX_STEPS = 350  # of a run, expressions too
DEADLINE = 600.0  # seconds, when `run` runs the graph
TOOL_TIMEOUT: float | None = 60.0
REASK = (
    "That reply does not fit: {error}. Answer again with only the JSON that fits the "
    "schema."
)
# Status codes that say that the request is wrong: no other model helps.
REJECTED = frozenset(range(400, 500)) - {402, 408, 429}
SHOWN = 5  # problems of a reply that its model is told at once
logger = logging.getLogger(__name__)
Messages: TypeAlias = list[dict[str, Any]]
Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]


# Prompts: what each step asks


def agent_prompt(question: str) -> Messages:
    """Say what agent asks."""
    user = f"You help with orders. Cite the order id of every fact.\n{question}"
    return [{"role": "user", "content": user}]


# From the notebook


ORDERS = {"A1": {"state": "shipped", "items": ["disk"]}}


def find_order(order_id: str, part: Literal["state", "items"] = "state") -> object:
    """Look an order up.

    Knows all of this year's.
    """
    return ORDERS[order_id][part]


# Types: what each step returns


class Agent(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: str
    order_ids: list[str]


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    question: str
    agent: dict[str, Any]
    messages: Annotated[list[dict[str, Any]], operator.add]
    agent_visits: int


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
) -> tuple[Any, Choice]:
    """Ask for a reply that fits the class; the model is told what does not."""
    form: dict[str, Any] = {"name": kind.__name__, "strict": True}
    form["schema"] = TypeAdapter(kind).json_schema()
    request["response_format"] = {"type": "json_schema", "json_schema": form}
    while True:
        choice = await first_usable(client, messages, **request)
        if choice.message.tool_calls:
            return None, choice
        reply = choice.message.content or ""
        try:
            return read_reply(kind, reply), choice
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


# Tools


class FindOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order_id: str
    part: Literal["state", "items"] = "state"


TOOLS: Tools = {"find_order": (find_order, FindOrder)}


def tool_calls(choice: Choice) -> dict[str, Any]:
    """Return the message with its tool calls, as the next request repeats it."""
    kept: Any = {"id": True, "type": True, "function": {"name", "arguments"}}
    calls = [call.model_dump(include=kept) for call in choice.message.tool_calls or []]
    content = choice.message.content or None
    return {"role": "assistant", "content": content, "tool_calls": calls}


def tool_format(tools: Tools) -> list[dict[str, Any]]:
    """Describe the tools to the model: names, docstrings and arguments."""
    found = []
    for name, (function, kind) in tools.items():
        described = {
            "name": name,
            "description": inspect.getdoc(function) or name.replace("_", " "),
            "parameters": kind.model_json_schema(),
        }
        found.append({"type": "function", "function": described})
    return found


async def use_tool(
    call: dict[str, Any],
    tools: Tools,
    *,
    timeout: float | None = TOOL_TIMEOUT,  # noqa: ASYNC109 - it bounds the tool alone
) -> dict[str, Any]:
    """Run one tool call; whatever goes wrong is for the model to read."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    try:
        if "rejected" in call:
            raise ValueError(call["rejected"])  # noqa: TRY301 - told as the rest is
        function, arguments = arguments_for(name, written, tools)
        async with asyncio.timeout(timeout):
            if inspect.iscoroutinefunction(function):
                content = readable(await function(**arguments))
            else:
                content = readable(await asyncio.to_thread(function, **arguments))
    except TimeoutError:
        content = f"Error: {name} gave no answer within {timeout:g} s"
    except Exception as error:  # noqa: BLE001 - the model reads it and acts on it
        content = f"Error: {describe_error(error)}"
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def arguments_for(
    name: str,
    written: str,
    tools: Tools,
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the tool and its arguments, checked against its type hints."""
    if name not in tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(tools)}")
    function, kind = tools[name]
    try:
        checked = kind.model_validate_json(written or "{}")
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        wrong = "; ".join(f"{at or 'arguments'}: {what}" for at, what in found)
        raise ValueError(f"bad arguments for {name}: {wrong}") from None
    return function, {field: getattr(checked, field) for field in kind.model_fields}


def describe_error(error: Exception) -> str:
    """Say what went wrong in words for the model."""
    if isinstance(error, KeyError):
        return str(error).strip("'\"")
    if isinstance(error, ValueError | LookupError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def readable(value: object) -> str:
    """Write what a tool returned as text for the model."""
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return json.dumps(value, default=str, ensure_ascii=False)


# Nodes


async def agent(state: State, *, client: AsyncOpenAI) -> State:
    """Think, then call tools or answer."""
    question = state["question"]
    messages = agent_prompt(question)
    messages += state.get("messages", [])
    value, choice = await ask(client, messages, Agent, tools=tool_format(TOOLS))
    if choice.message.tool_calls:
        return {
            "messages": [tool_calls(choice)],
            "agent_visits": state.get("agent_visits", 0) + 1,
        }
    reply = choice.message.content or ""
    said = {"role": "assistant", "content": reply}
    return {
        "agent": value,
        "messages": [said],
        "agent_visits": state.get("agent_visits", 0) + 1,
    }


async def tools(state: State) -> State:
    """Run the tool calls of the last message, side by side."""
    calls = state["messages"][-1]["tool_calls"]
    uses = (use_tool(call, TOOLS) for call in calls)
    replies = await asyncio.gather(*uses)
    return {"messages": replies}


# Graph


def after_agent(state: State) -> str:
    """Choose where the run goes after agent."""
    messages = state.get("messages", [])
    if messages[-1].get("tool_calls") and state["agent_visits"] < MAX_ITERATIONS:
        return "tools"
    if not messages[-1].get("tool_calls"):
        return END
    logger.warning("ended early: %s", "8 iterations were not enough for an answer")
    return END


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT)
    builder = StateGraph(State)
    builder.add_node("agent", partial(agent, client=client))
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", after_agent, ["tools", END])
    builder.add_edge("tools", "agent")
    graph = builder.compile(name="orders")
    return graph.with_config(recursion_limit=MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the run's result: the last of these values that there is."""
    said = [m["content"] for m in state.get("messages", []) if m.get("content")]
    values = [state.get("agent"), *reversed(said)]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    async with asyncio.timeout(DEADLINE):
        state = await build_graph().ainvoke(inputs)
    return result(state)


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="orders: run it once and print the result.",
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
