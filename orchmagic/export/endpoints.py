"""Generates the constants of a module's models: their names and endpoints.

If all models have the same endpoint and parameters, a model is a string (its name), else a `Model`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchmagic.errors import ExportError
from orchmagic.export import naming
from orchmagic.export.formatting import assigned, call, remarked
from orchmagic.export.quoting import literal
from orchmagic.graph.model import Call, Graph
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.batching import in_batch
from orchmagic.models.types import Deployment, Pool
from orchmagic.models.wire import urls

_ELSEWHERE = "http://127.0.0.1:8080/v1"
_SPOKEN = frozenset({"openai", "local", "scripted"})

# Parameters that the openai client has as arguments; all others are sent in `extra_body`.
_KNOWN = frozenset(
    """frequency_penalty logit_bias max_completion_tokens max_tokens metadata n parallel_tool_calls prediction
    presence_penalty reasoning_effort seed service_tier stop store temperature tool_choice top_logprobs top_p
    user verbosity""".split()  # noqa: SIM905 - a list of words reads as one
)


@dataclass
class Endpoints:
    """The deployments that a module calls, by alias; the first alias is the default of a step.

    `pools` are the aliases with several deployments, or with limits.
    """

    aliases: tuple[str, ...]
    fallback: tuple[str, ...]
    deployments: Mapping[str, Deployment]
    constants: Mapping[str, str] = field(default_factory=dict)
    uniform: bool = True
    pools: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def first(self) -> Deployment:
        """The deployment of the constant `MODEL`."""
        return self.deployments[self.aliases[0]]

    def models(self, own: str, rest: Sequence[str]) -> str | None:
        """Returns the argument `models=` for model `own` with fallbacks `rest`; None for the default."""
        if tuple(rest) == self.fallback:
            if own == self.aliases[0]:
                return None
            if own not in self.fallback:
                return f"({self.constants[own]}, *FALLBACK)"
        return self.tuple_of(dict.fromkeys((own, *rest)))

    def tuple_of(self, aliases: Iterable[str]) -> str:
        """Returns the source of a tuple of the models' constants."""
        chosen = [self.constants[a] for a in aliases]
        return f"({', '.join(chosen)}{',' if len(chosen) == 1 else ''})"


@dataclass(frozen=True)
class ModelsInUse:
    """A graph and the defaults of its calls."""

    graph: Graph
    defaults: CallDefaults

    @property
    def calls(self) -> list[Call]:
        """The steps that call a model."""
        return [n for n in self.graph.nodes if isinstance(n, Call)]

    @property
    def aliases(self) -> list[str]:
        """All models that the graph may call, in order, with repetitions."""
        own = [self.defaults.model, *self.defaults.fallback] if self.calls else []
        named = [(*((n.model,) if n.model else ()), *n.ladder, *(n.fallback or ())) for n in self.calls]
        return [*own, *(a for found in named for a in found)]


def endpoints(
    graphs: Sequence[ModelsInUse],
    resolve: Callable[[str], Deployment],
    pool: Callable[[str], Pool | None] = lambda _: None,
) -> Endpoints:
    """Returns the endpoints of all calls; the defaults are those of the first graph that calls a model.

    Raises:
        ExportError: a module cannot call one of the models.
    """
    asking = [g for g in graphs if g.calls]
    calls = [n for g in asking for n in g.calls]
    aliases = tuple(dict.fromkeys(a for g in asking for a in g.aliases))
    rest = asking[0].defaults.fallback if asking else ()
    deployments = {a: resolve(a) for a in aliases}
    for alias, found in deployments.items():
        if found.provider not in _SPOKEN:
            raise ExportError(
                f"model {alias!r} is served by {found.provider!r}, which a module cannot ask: "
                "choose one with an OpenAI-compatible endpoint"
            )
        if found.schemas != "native" and (typed := next((n for n in calls if n.output.kind != "text"), None)):
            raise ExportError(
                f"model {alias!r} at {urls.host(found.base_url or '')} takes no JSON schema, and a module sends one "
                f"for step {typed.name!r}: choose another model for it"
            )
    uniform = len({_shape(d, calls) for d in deployments.values()}) <= 1
    named_ = {**naming.constants(aliases[1:]), **dict.fromkeys(aliases[:1], "MODEL")}
    pools = {a: several for a in aliases if (several := pool(a)) is not None}
    return Endpoints(aliases, rest, deployments, named_, uniform, pools)


def unasked(found: Endpoints) -> Iterator[str]:
    """Yields what is not exported of aliases with several deployments or limits, as text."""
    for alias, pool in found.pools.items():
        others = [f"{m.model} at {urls.host(m.base_url or m.provider)}" for m in pool.members[1:]]
        hedge = "" if pool.hedge is None else f", a second one after {pool.hedge:g} s of silence"
        if others:
            yield (
                f"the other deployments of {alias!r}, chosen by {pool.policy!r}{hedge}: {', '.join(others)}. Here "
                f"{pool.members[0].model} alone is called: where it should go on to another, add that to FALLBACK"
            )
        limits = dict.fromkeys(said for m in pool.members if (said := _limits(m)))
        if limits:
            yield f"the limits of {alias!r}: {'; '.join(limits)}"


def batched(graphs: Iterable[ModelsInUse], found: Endpoints) -> Iterator[str]:
    """Yields the aliases whose calls go through a Batch API in the notebook, as text."""
    said = {alias for g in graphs if g.defaults.batch for alias in g.aliases}
    members = {a: found.pools[a].members if a in found.pools else (d,) for a, d in found.deployments.items()}
    names = [a for a, several in members.items() if any((in_batch(m) if a in said else m).batch for m in several)]
    if names:
        yield f"the Batch API for {', '.join(map(repr, names))}: the module calls it directly, at the full price"


def _limits(deployment: Deployment) -> str:
    known = {
        "requests a minute": deployment.requests_per_minute,
        "tokens a minute": deployment.tokens_per_minute,
        "calls at once": deployment.concurrency,
    }
    return ", ".join(f"{number:,} {what}" for what, number in known.items() if number is not None)


def _shape(deployment: Deployment, calls: Sequence[Call]) -> str:
    """Returns all settings but the name as text, to compare models."""
    parts: list[object] = [
        address(deployment),
        deployment.key_env or urls.KEY_ENV,
        deployment.parameters,
        deployment.max_tokens_field,
        any(n.tools for n in calls) and deployment.tools,
        any(n.tools and n.output.kind != "text" for n in calls) and deployment.schemas_with_tools,
        any(n.confidence for n in calls) and deployment.logprobs,
    ]
    return json.dumps(parts, sort_keys=True, default=str)


def address(deployment: Deployment) -> str | None:
    """Returns the base URL without user, password and query, which may be secret; None: the client's default."""
    base = deployment.base_url or ""
    return urls.shown(base) if urls.is_address(base) else None


def options(deployment: Deployment) -> dict[str, Any]:
    """Returns the deployment's parameters as arguments of the openai client."""
    known = {k: v for k, v in deployment.parameters.items() if k in _KNOWN}
    extra = {k: v for k, v in deployment.parameters.items() if k not in _KNOWN}
    return {**known, "extra_body": extra} if extra else known


def constants(found: Endpoints, limit: int) -> list[list[str]]:
    """Returns MODEL, FALLBACK and the related constants, as a list of lines each."""
    after = found.tuple_of(a for a in dict.fromkeys(found.fallback) if a != found.aliases[0])
    kind = "str" if found.uniform else "Model"
    lines = [_model(found, alias) for alias in found.aliases]
    turn = "called in turn when a model fails, refuses or is cut off"
    lines.append(remarked([f"FALLBACK: tuple[{kind}, ...] = {after}"], turn))
    lines.append(remarked([f"MAX_TOKENS = {limit}"], "of a reply"))
    return [*lines, *_shared(found)] if found.uniform else lines


def _model(found: Endpoints, alias: str) -> list[str]:
    name, deployment = found.constants[alias], found.deployments[alias]
    if found.uniform:
        return assigned(name, deployment.model)
    arguments = [literal(deployment.model), f"base_url={literal(address(deployment) or _ELSEWHERE)}"]
    if (deployment.key_env or urls.KEY_ENV) != urls.KEY_ENV:
        arguments.append(f"key={literal(deployment.key_env)}")
    if deployment.max_tokens_field != "max_tokens":
        arguments.append(f"limit={literal(deployment.max_tokens_field)}")
    if chosen := options(deployment):
        arguments.append(f"options={literal(chosen)}")
    if deployment.tools == "json":
        arguments.append("actions=True")
    if not deployment.schemas_with_tools:
        arguments.append("schemas_with_tools=False")
    if deployment.logprobs:
        arguments.append("logprobs=True")
    return call(f"{name} = Model(", arguments, ")")


def _shared(found: Endpoints) -> list[list[str]]:
    lines = []
    if (base := address(found.first)) not in {None, urls.OPENAI}:
        lines.append(assigned("BASE_URL", base))
    if (key := found.first.key_env or urls.KEY_ENV) != urls.KEY_ENV:
        lines.append(remarked(assigned("KEY", key), "the environment variable that holds the key"))
    if chosen := options(found.first):
        lines.append(remarked(assigned("OPTIONS: dict[str, Any]", chosen), "what every request carries"))
    return lines


def client(found: Endpoints) -> list[str]:
    """Returns the arguments of the client that a module creates by default."""
    arguments = ["timeout=TIMEOUT", "http_client=DefaultAsyncHttpxClient(follow_redirects=False)"]
    if not found.uniform:
        return ["base_url=MODEL.base_url", "api_key=key_of(MODEL)", *arguments]
    base, key = address(found.first), found.first.key_env or urls.KEY_ENV
    if key != urls.KEY_ENV:
        arguments.insert(0, "api_key=os.environ[KEY]")
    elif base and urls.on_loopback(base):
        arguments.insert(0, f'api_key=os.environ.get("{urls.KEY_ENV}", "none")')
    if base not in {None, urls.OPENAI}:
        arguments.insert(0, "base_url=BASE_URL")
    return arguments
