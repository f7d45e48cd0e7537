"""The data of a model call: request, response, deployment, pool; and the shapes of what handles them.

    Handler    = async (ModelRequest) -> ModelResponse
    Middleware = async (ModelRequest, Handler) -> ModelResponse     the first of a stack is the outermost

Plain frozen data on both sides; a provider is the innermost handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from orchmagic.trace.events import Event, Usage

Emit: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON schema that the reply must fit; `strict` asks the endpoint to enforce it token by token."""

    name: str
    schema: Mapping[str, Any]
    strict: bool = True


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it; `parameters` is the JSON schema of its arguments (always an object)."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is the text that the model wrote: perhaps no JSON at all."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one endpoint, as settings name it. Prices are US dollars per million tokens, None = unknown.
    Tokens that are read from (`cached`) or `written` to the endpoint's prompt cache, or spent on `reasoning`, cost as
    input and output do unless they have a price of their own.

    `tools`: "native" sends the API's `tools`; "json" asks for an action as JSON constrained by a schema (small
    local models only manage that); "none": it takes none. `schemas`: "native" sends a reply's JSON schema to be
    enforced; where the endpoint knows only that it must be JSON ("json"), or ignores that too ("none"), the schema is
    told in a system message. `logprobs`: the endpoint returns token log-probabilities.
    `vision`: the model takes images. `context`: tokens of question and answer together, None = not said.
    `parameters` are added to every request body. `key_env` names the variable that holds the key; the key itself is
    never stored. `concurrency` and the two per minute bound what is asked of it, None = no limit; `weight` is its
    share among the deployments of a weighted alias.
    """

    alias: str
    provider: str
    model: str
    base_url: str | None = None
    key_env: str | None = None
    input_price: float | None = None
    output_price: float | None = None
    cached_price: float | None = None
    written_price: float | None = None
    reasoning_price: float | None = None
    tools: Literal["native", "json", "none"] = "native"
    schemas: Literal["native", "json", "none"] = "native"
    logprobs: bool = False
    vision: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    context: int | None = None
    weight: float = 1.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None

    @property
    def limited(self) -> bool:
        """Whether it may be asked only so often, or so much at once."""
        return (self.requests_per_minute or self.tokens_per_minute or self.concurrency) is not None


@dataclass(frozen=True, slots=True)
class Pool:
    """The deployments behind one alias, each with a name of its own (`small@groq`) as its `alias`.

    `policy`: "order" (the first that can), "weighted" (by chance), "uptime", "price" or "latency" (by
    score, see `models.balance`). `hedge`: seconds after which a second one is asked as well, None = never.
    """

    alias: str
    members: tuple[Deployment, ...]
    policy: str = "order"
    hedge: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to one model.

    What can change the answer (and so is in the cache key): `model` once resolved, `messages` (OpenAI chat
    messages), `parameters` (temperature, seed ...), `max_tokens`, `schema`, `tools`, `logprobs`, `vote`.
    What cannot: `call` (the id in the trace), `fallback`, `timeout` (seconds an attempt), `cache`, `stream`,
    `retries` (how often the transport tries again, None = as often as the run says).
    `cache` is "use", "refresh" (ask, then store) or "off"; `ttl` in seconds, None = for ever.
    `parts` opts into the semantic cache: the texts that were filled into the prompt, by name; `frame` is all the
    rest of the messages. Equal `frame` and equal `parts` make equal messages.
    """

    call: str
    model: str
    messages: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 1024
    schema: Schema | None = None
    tools: tuple[ToolSpec, ...] = ()
    logprobs: bool = False
    vote: int | None = None
    fallback: tuple[str, ...] = ()
    timeout: float | None = 60.0
    cache: Literal["use", "refresh", "off"] = "use"
    ttl: float | None = None
    stream: bool = False
    retries: int | None = None
    parts: Mapping[str, str] | None = None
    frame: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the reply and the natural logarithm of its probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """A usable answer. `model` and `provider` say who gave it; `cost` in US dollars, None = price unknown;
    `charged`: the endpoint itself reported it.

    `age` is None for a fresh answer, else the seconds since the stored one was given; `reason` says why this
    model answered ("first choice", "fallback after 429 from small").
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    model: str = ""
    provider: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None
    age: float | None = None
    reason: str = "first choice"
    charged: bool = False


Handler: TypeAlias = Callable[[ModelRequest], Awaitable[ModelResponse]]
Middleware: TypeAlias = Callable[[ModelRequest, Handler], Awaitable[ModelResponse]]
