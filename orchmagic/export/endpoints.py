"""The models of a graph as constants of a module: a name each, and where they are served.

Most graphs ask one endpoint: then a model is its name. Where endpoints or parameters differ, it is a `Model`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchmagic.errors import ExportError
from orchmagic.export import naming
from orchmagic.export.formatting import assigned, call, literal, remarked
from orchmagic.graph.model import Call, Graph
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.types import Deployment, Pool
from orchmagic.models.wire import urls

_ELSEWHERE = "http://127.0.0.1:8080/v1"
_SPOKEN = frozenset({"openai", "local", "scripted"})

# Parameters that the openai client knows by name; all others travel in `extra_body`.
_KNOWN = frozenset(
    """frequency_penalty logit_bias max_completion_tokens max_tokens metadata n parallel_tool_calls prediction
    presence_penalty reasoning_effort seed service_tier stop store temperature tool_choice top_logprobs top_p
    user verbosity""".split()  # noqa: SIM905 - a list of words reads as one
)


@dataclass
class Endpoints:
    """The deployments that a graph asks, by alias; the first is the one that a step asks unless it says more.

    `pools` are the aliases that have several, or limits.
    """

    aliases: tuple[str, ...]
    fallback: tuple[str, ...]
    deployments: Mapping[str, Deployment]
    constants: Mapping[str, str] = field(default_factory=dict)
    uniform: bool = True
    pools: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def first(self) -> Deployment:
        """What `MODEL` stands for."""
        return self.deployments[self.aliases[0]]

    def models(self, own: str, rest: Sequence[str]) -> str | None:
        """The argument `models=` of a call that asks `own`, then `rest`; None when the default is meant."""
        if tuple(rest) == self.fallback:
            if own == self.aliases[0]:
                return None
            if own not in self.fallback:
                return f"({self.constants[own]}, *FALLBACK)"
        return self.tuple_of(dict.fromkeys((own, *rest)))

    def tuple_of(self, aliases: Iterable[str]) -> str:
        """The models as source."""
        chosen = [self.constants[a] for a in aliases]
        return f"({', '.join(chosen)}{',' if len(chosen) == 1 else ''})"


@dataclass(frozen=True)
class ModelsInUse:
    """A graph and what its calls use unless they say more."""

    graph: Graph
    defaults: CallDefaults

    @property
    def calls(self) -> list[Call]:
        """The steps that ask a model."""
        return [n for n in self.graph.nodes if isinstance(n, Call)]

    @property
    def aliases(self) -> list[str]:
        """All models that it may ask, in order."""
        own = [self.defaults.model, *self.defaults.fallback] if self.calls else []
        named = [(*((n.model,) if n.model else ()), *n.ladder, *(n.fallback or ())) for n in self.calls]
        return [*own, *(a for found in named for a in found)]


def endpoints(
    graphs: Sequence[ModelsInUse],
    resolve: Callable[[str], Deployment],
    pool: Callable[[str], Pool | None] = lambda _: None,
) -> Endpoints:
    """The endpoints of all calls of the graphs; the first one that asks has the defaults."""
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
    """What the module does not know of the aliases that have several deployments, or limits."""
    for alias, pool in found.pools.items():
        others = [f"{m.model} at {urls.host(m.base_url or m.provider)}" for m in pool.members[1:]]
        hedge = "" if pool.hedge is None else f", a second one after {pool.hedge:g} s of silence"
        if others:
            yield (
                f"the other deployments of {alias!r}, chosen by {pool.policy!r}{hedge}: {', '.join(others)}. Here "
                f"{pool.members[0].model} alone is asked: where it should go on to another, add that to FALLBACK"
            )
        limits = dict.fromkeys(said for m in pool.members if (said := _limits(m)))
        if limits:
            yield f"the limits of {alias!r}: {'; '.join(limits)}"


def _limits(deployment: Deployment) -> str:
    known = {
        "requests a minute": deployment.requests_per_minute,
        "tokens a minute": deployment.tokens_per_minute,
        "calls at once": deployment.concurrency,
    }
    return ", ".join(f"{number:,} {what}" for what, number in known.items() if number is not None)


def _shape(deployment: Deployment, calls: Sequence[Call]) -> str:
    """What must be the same for two models to differ in name only."""
    parts: list[object] = [
        address(deployment),
        deployment.key_env or urls.KEY_ENV,
        deployment.parameters,
        deployment.max_tokens_field,
        any(n.tools for n in calls) and deployment.tools,
        any(n.confidence for n in calls) and deployment.logprobs,
    ]
    return json.dumps(parts, sort_keys=True, default=str)


def address(deployment: Deployment) -> str | None:
    """The base URL without user, password and query, which are nobody's business; None: the client's own."""
    base = deployment.base_url or ""
    return urls.shown(base) if urls.is_address(base) else None


def options(deployment: Deployment) -> dict[str, Any]:
    """The deployment's parameters as arguments of the client."""
    known = {k: v for k, v in deployment.parameters.items() if k in _KNOWN}
    extra = {k: v for k, v in deployment.parameters.items() if k not in _KNOWN}
    return {**known, "extra_body": extra} if extra else known


def constants(found: Endpoints, limit: int) -> list[list[str]]:
    """MODEL, FALLBACK and what belongs to them, one list of lines each."""
    after = found.tuple_of(a for a in dict.fromkeys(found.fallback) if a != found.aliases[0])
    kind = "str" if found.uniform else "Model"
    lines = [_model(found, alias) for alias in found.aliases]
    turn = "asked in turn when a model fails, refuses or is cut off"
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
    """The arguments of the client that a module makes when it is given none."""
    arguments = ["timeout=TIMEOUT"]
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
