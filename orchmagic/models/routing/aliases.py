"""Resolves the name of a model in a cell to a Deployment; the first rule that matches wins:

    models in the settings > default, small, large, tiny > local[/file.gguf] > scripted[/name]
    > provider/model > groq/model, ollama/model … > any other name is a model of the OpenAI-compatible endpoint

If neither a key nor an endpoint is set, the four built-in aliases are the local model. An alias with several
deployments is a Pool; `alias@name` is one of them, and the alias itself resolves to the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError, nearest
from orchmagic.models import PROVIDERS
from orchmagic.models.pricing import price_list
from orchmagic.models.routing import api_keys, presets
from orchmagic.models.routing.redirects import WITHHELD
from orchmagic.models.types import Deployment, Pool
from orchmagic.models.wire.urls import BASE_ENV, KEY_ENV, at_openai, base, host, shown

OPENAI_MODELS = {
    "default": "gpt-4.1-mini",
    "small": "gpt-4.1-mini",
    "large": "gpt-4.1",
    "tiny": "gpt-4.1-nano",
}
_NO_VISION = ("gpt-3.5", "o1-mini", "o3-mini")  # OpenAI's models that take no images
LOCAL_MODEL = "qwen2.5-coder-0.5b"
NO_KEY = {"local": LOCAL_MODEL, "scripted": "scripted"}
_PROVIDER_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "local": {"tools": "json", "logprobs": True, "vision": False},
    "scripted": {"logprobs": True},
}
# reproducible output needs no sampling, and no prompt cache, which changes rounding
_PARAMETERS = {"local": {"temperature": 0, "seed": 1, "cache_prompt": False}}


def resolve(name: str, settings: Settings, environ: Mapping[str, str]) -> Deployment:
    """The deployment of an alias, a model name or `provider/model`.

    Raises:
        SettingsError: the name is unknown, or its key is not set; says what to write.
    """
    if (alias := pool_alias(name, settings)) is not None:
        return _from_pool(name, _pool(alias, settings, environ), environ)
    if name in settings.models:
        return _configured(name, settings.models[name], environ)
    if name in OPENAI_MODELS:
        return _built_in(name, settings, environ)
    provider, fields = _parse(name, environ)
    if provider == "openai" and "base_url" not in fields:
        _require_endpoint(name, settings, environ)
    return _deployment(provider, name, fields, environ)


def pool(name: str, settings: Settings, environ: Mapping[str, str], *, every: bool = False) -> Pool | None:
    """The deployments of a name to choose from; None for a single one without limits: nothing to choose or count.

    Deployments whose key is not set are left out, unless `every` is true or no key is set.

    Raises:
        SettingsError: as `resolve`.
    """
    if "deployments" in settings.models.get(name, ()):
        declared = _pool(name, settings, environ)
        return declared if every else replace(declared, members=_with_key(declared, environ))
    single = resolve(name, settings, environ)
    return Pool(name, (single,)) if single.limited or single.tools == "none" else None


def resolvable(settings: Settings, environ: Mapping[str, str]) -> Iterator[Deployment]:
    """The deployments of all aliases that can be resolved now, the settings' own first."""
    for name in dict.fromkeys([*settings.models, *OPENAI_MODELS, *NO_KEY]):
        with suppress(SettingsError):  # skipped: the alias needs an entry in the settings first
            yield resolve(name, settings, environ)


def check(entries: Mapping[str, Mapping[str, Any]], settings: Settings, environ: Mapping[str, str]) -> None:
    """Check that these aliases are valid together with the settings' own; a missing key is no error.

    Raises:
        SettingsError: an alias is invalid; says what to write.
    """
    merged = settings.model_copy(update={"models": {**settings.models, **entries}})
    for name in entries:
        pool(name, merged, environ, every=True)


def has_key(deployment: Deployment, environ: Mapping[str, str]) -> bool:
    """Whether the key of the deployment is set, or it needs none; the endpoint is not called."""
    return api_keys.missing_key(deployment, environ) is None


def _pool(name: str, settings: Settings, environ: Mapping[str, str]) -> Pool:
    entry = settings.models[name]
    members: dict[str, Deployment] = {}
    for number, member_entry in enumerate(entry["deployments"], 1):
        fields = dict(member_entry)
        given_name = fields.pop("name", None)
        member = _member(f"{name}.deployments[{number}]", fields, settings, environ)
        label = given_name or _label(member_entry, member)
        if given_name and label in members:
            raise SettingsError(f"models.{name} has two deployments called {label!r}: give each a name of its own")
        numbered = (f"{label}-{i}" for i in itertools.count(2))
        unique = next(x for x in itertools.chain([label], numbered) if x not in members)
        members[unique] = replace(member, alias=f"{name}@{unique}")
    return Pool(name, tuple(members.values()), entry.get("policy", "order"), entry.get("hedge"))


def _member(where: str, fields: dict[str, Any], settings: Settings, environ: Mapping[str, str]) -> Deployment:
    """Make a deployment of a pool from its entry; `use` is `endpoint/model`, an alias or a model name."""
    use = fields.pop("use", None)
    if use is None:
        if "model" not in fields and fields.get("provider") not in NO_KEY:
            raise SettingsError(f'models.{where} names no model: write model = "…"')
        return _configured(where, fields, environ)
    if "deployments" in settings.models.get(use, ()):
        raise SettingsError(f"models.{where} is {use!r}, an alias of several itself: write its deployments here")
    endpoint, _, model = use.partition("/")
    if use not in settings.models and model and endpoint in presets.PRESETS:
        return _openai(where, {"model": model, **presets.fields(endpoint, environ), **fields}, environ)
    return replace(resolve(use, settings, environ), **fields)


def _label(entry: Mapping[str, Any], member: Deployment) -> str:
    use = entry.get("use", "")
    endpoint = entry.get("endpoint") or use.partition("/")[0]
    if endpoint in presets.PRESETS or use:
        return str(endpoint if endpoint in presets.PRESETS else use)
    return host(member.base_url) if member.base_url else member.model


def pool_alias(name: str, settings: Settings) -> str | None:
    """The alias of the pool that `alias` or `alias@member` names; None if it names none."""
    return next((a for a in (name, name.partition("@")[0]) if "deployments" in settings.models.get(a, ())), None)


def _with_key(declared: Pool, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    return tuple(m for m in declared.members if has_key(m, environ)) or declared.members


def _from_pool(name: str, declared: Pool, environ: Mapping[str, str]) -> Deployment:
    """The member `name` of a pool. For the alias itself the first member, with the features of the pool:

    `logprobs` if all members have them, `vision` if any has it.
    """
    members = declared.members
    if name != declared.alias:
        names = [m.alias for m in members]
        if name not in names:
            raise SettingsError(f"no deployment {name!r} (known: {', '.join(names)}){nearest(name, names)}")
        return members[names.index(name)]
    members = _with_key(declared, environ)
    return replace(
        members[0],
        alias=declared.alias,
        logprobs=all(m.logprobs for m in members),
        vision=any(m.vision for m in members),
    )


def _parse(name: str, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The provider and the Deployment fields of a model's name.

    Raises:
        SettingsError: the endpoint is unknown (OpenAI's own models have no slash in their names).
    """
    provider, _, model = name.partition("/")
    if provider in NO_KEY or (model and provider != "openai" and provider in PROVIDERS.names()):
        return provider, {"model": model or NO_KEY[provider]}
    if _is_preset(provider, model, environ):
        return "openai", {"model": model, **presets.fields(provider, environ)}
    if provider == "openai" and model:
        return "openai", {"model": model}
    if model and at_openai(base(environ)):
        known = [*presets.PRESETS, *NO_KEY]
        raise SettingsError(
            f"no endpoint {provider!r} for model {name!r}: write one of {', '.join(known)}, or say where that model is "
            f"with {BASE_ENV}, base_url or endpoint{nearest(provider, known)}"
        )
    return "openai", {"model": name}


def _is_preset(provider: str, model: str, environ: Mapping[str, str]) -> bool:
    """Whether `provider/model` names a preset. If OPENAI_BASE_URL is not OpenAI's, it is a model of that server."""
    server = environ.get(BASE_ENV)
    is_preset = bool(model) and provider in presets.PRESETS and provider != "openai"
    return is_preset and not (server and not at_openai(server))


def _configured(name: str, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    if WITHHELD in entry:
        raise SettingsError(str(entry[WITHHELD]))
    fields = dict(entry)
    endpoint = fields.pop("endpoint", None)
    if endpoint is not None:
        if endpoint not in presets.PRESETS:
            known = f"write one of {', '.join(presets.PRESETS)}, or base_url{nearest(endpoint, presets.PRESETS)}"
            raise SettingsError(f"models.{name} has an unknown endpoint {endpoint!r}: {known}")
        fields = {**presets.fields(endpoint, environ), **fields}
    if "model" not in fields and "base_url" in fields:
        raise SettingsError(f'models.{name} names no model at {shown(str(fields["base_url"]))}: write model = "…"')
    if not fields.keys() & {"base_url", "provider"}:
        provider, parsed = _parse(fields.get("model", name), environ)
        return _deployment(provider, name, {**parsed, **fields, "model": parsed["model"]}, environ)
    provider = fields.get("provider", "openai")
    return _deployment(provider, name, {"model": NO_KEY.get(provider, name), **fields}, environ)


def _deployment(provider: str, name: str, fields: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    if provider == "openai":
        return _openai(name, fields, environ)
    if fields.get("batch") and not PROVIDERS.get(provider).batches:
        raise SettingsError(f"models.{name} has batch = true, and {provider!r} has no Batch API: leave batch out")
    defaults = {"alias": name, "provider": provider, **_PROVIDER_FIELDS.get(provider, {})}
    parameters = {**_PARAMETERS.get(provider, {}), **fields.get("parameters", {})}
    return Deployment(**{**defaults, **fields, "parameters": parameters})


def _built_in(name: str, settings: Settings, environ: Mapping[str, str]) -> Deployment:
    chosen = settings.model if settings.model not in OPENAI_MODELS or settings.model in settings.models else ""
    if chosen and name == "default":
        return replace(resolve(chosen, settings, environ), alias=name)
    configured = environ.get(KEY_ENV) or environ.get(BASE_ENV)
    if configured and at_openai(base(environ)):
        model = settings.model if name == "default" and settings.model in OPENAI_MODELS else name
        return _openai(name, {"model": OPENAI_MODELS[model]}, environ)
    if chosen:  # the only known model of that server serves every alias
        return replace(resolve(chosen, settings, environ), alias=name)
    if not configured:
        return _deployment("local", name, {"model": LOCAL_MODEL}, environ)
    raise SettingsError(
        f"{name!r} names no model at {shown(base(environ))} ({BASE_ENV}): set ORCHMAGIC_MODEL, or write "
        f'[tool.orchmagic.models] {name} = "the-model" in pyproject.toml'
    )


def _openai(name: str, fields: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    url = str(fields.get("base_url") or base(environ))
    openai = at_openai(url)
    defaults: dict[str, Any] = {
        "alias": name,
        "provider": "openai",
        "base_url": url,
        "key_env": KEY_ENV,
        "logprobs": openai and str(fields["model"]).startswith("gpt-4"),
        "vision": not (openai and str(fields["model"]).startswith(_NO_VISION)),
        "max_tokens_field": "max_completion_tokens" if openai else "max_tokens",
    }
    return Deployment(**{**defaults, **fields})


def _require_endpoint(name: str, settings: Settings, environ: Mapping[str, str]) -> None:
    """Check that the environment has a key or an endpoint for a model of this name.

    Raises:
        SettingsError: neither a key nor an endpoint is set.
    """
    if environ.get(KEY_ENV) or environ.get(BASE_ENV):
        return
    known = [*settings.models, *OPENAI_MODELS, *NO_KEY, *price_list.model_names(base(environ))]
    hint = "" if name in known else nearest(name, known)
    raise SettingsError(
        f"model {name!r} needs a key and {KEY_ENV} is not set: set it (or {BASE_ENV} for a server of your "
        f'own), or write "local"{hint}'
    )
