"""The data types of a model call (request, response, deployment, pool), and the types of its handlers:

    Handler    = async (ModelRequest) -> ModelResponse
    Middleware = async (ModelRequest, Handler) -> ModelResponse     the first of a stack is the outermost

A provider is the innermost handler.
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
    """The description of a tool for a model; `parameters` is the JSON schema of its arguments (always an object)."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of a model; `arguments` is the model's text, which may be invalid JSON.

    `more` are fields that the endpoint added (Gemini's thought signature), and wants back with the call.
    """

    id: str
    name: str
    arguments: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one endpoint, as configured in the settings.

    Prices are US dollars per million tokens, None = unknown. Tokens read from (`cached`) or `written` to the endpoint's
    prompt cache, and `reasoning` tokens, cost as input and output do unless they have a price of their own.

    `tools`: "native" sends the API's `tools`; "json" asks for an action as JSON constrained by a schema, for small
    local models that cannot call tools; "none": the model takes no tools. `schemas`: "native" sends the JSON schema of
    the reply to be enforced; "json" (the endpoint enforces only JSON) and "none" write the schema in a system message.
    So does a request with tools if `schemas_with_tools` is false: the endpoint refuses both together.
    `logprobs`: the endpoint returns token log-probabilities. `vision`: the model takes images. `context`: the most
    tokens of prompt and answer, None = unknown. `parameters` are added to every request body. `key_env` names the
    variable that holds the key; the key itself is never stored. `concurrency` (calls at a time), `requests_per_minute`
    and `tokens_per_minute` are rate limits, None = no limit; `weight` is the share in a pool with policy "weighted".
    `batch`: its calls go through the endpoint's Batch API, which has limits of its own; `batch_discount` (0 to 1) is
    taken off the prices then, None = the batch prices of the price list, else half.
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
    schemas_with_tools: bool = True
    logprobs: bool = False
    vision: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    context: int | None = None
    weight: float = 1.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    batch: bool = False
    batch_discount: float | None = None

    @property
    def limited(self) -> bool:
        """Whether it has a rate limit that holds for its calls."""
        limits = self.requests_per_minute or self.tokens_per_minute or self.concurrency
        return limits is not None and not self.batch


@dataclass(frozen=True, slots=True)
class Pool:
    """The deployments of one alias; the `alias` of each is its own name (`small@groq`).

    `policy`: "order" (the first that is available), "weighted" (at random), "uptime", "price" or "latency" (by score,
    see `routing.ranking`). `hedge`: seconds without an answer before a second one is called too, None = never.
    """

    alias: str
    members: tuple[Deployment, ...]
    policy: str = "order"
    hedge: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of one model.

    In the cache key, because they can change the answer: `model` once resolved, `messages` (OpenAI chat messages),
    `parameters` (temperature, seed ...), `max_tokens`, `schema`, `tools`, `logprobs`, `vote`, `sample` (which of
    several answers to equal requests is meant, "" = the first).
    Not in it: `call` (the id in the trace), `fallback` (models to call after this one failed), `timeout` (seconds of
    an attempt; a batch has none), `cache`, `stream`, `retries` (of the transport, None = the run's), `batch` (go
    through the Batch API of every endpoint that has one).
    `cache` is "use", "refresh" (call, then store) or "off"; `ttl` in seconds, None = for ever.
    `parts` opts into the semantic cache: the texts that were filled into the prompt, by name; `frame` is the rest of
    the messages. Equal `frame` and equal `parts` make equal messages.
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
    sample: str = ""
    fallback: tuple[str, ...] = ()
    timeout: float | None = 60.0
    cache: Literal["use", "refresh", "off"] = "use"
    ttl: float | None = None
    stream: bool = False
    retries: int | None = None
    batch: bool = False
    parts: Mapping[str, str] | None = None
    frame: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the reply and the natural logarithm of its probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """A usable answer of `model` at `provider`. `cost` in US dollars, None = unknown price; `charged`: the endpoint
    reported the cost.

    `age`: None for a new answer, else seconds since the stored answer was received. `stored_as`: its key in the cache,
    "" if it is in none.
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
    charged: bool = False
    stored_as: str = field(default="", compare=False)


Handler: TypeAlias = Callable[[ModelRequest], Awaitable[ModelResponse]]
Middleware: TypeAlias = Callable[[ModelRequest, Handler], Awaitable[ModelResponse]]
