"""Aliases: a short name in a cell becomes a Deployment: which model, at which endpoint, spoken to how.

    the settings' own models > default, small, large, tiny > local[/file.gguf] > scripted[/name]
    > provider/model > groq/model, ollama/model … > any other name is a model of the OpenAI-compatible endpoint

Without a key and without an endpoint the four built-in aliases are the embedded local model. An alias of several
deployments is a Pool; `alias@name` is one of them, and the alias itself looks like the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError, nearest
from orchmagic.models import PROVIDERS, Deployment, Pool
from orchmagic.models.routing import api_keys, presets
from orchmagic.models.wire.urls import BASE_ENV, KEY_ENV, at_openai, base, host, shown

OPENAI_MODELS = {
    "default": "gpt-4.1-mini",
    "small": "gpt-4.1-mini",
    "large": "gpt-4.1",
    "tiny": "gpt-4.1-nano",
}
_BLIND = ("gpt-3.5", "o1-mini", "o3-mini")  # OpenAI's models that take no images
LOCAL_MODEL = "qwen2.5-coder-0.5b"
NO_KEY = {"local": LOCAL_MODEL, "scripted": "scripted"}


def resolve(name: str, settings: Settings, environ: Mapping[str, str]) -> Deployment:
    """The deployment behind an alias, a model name or `provider/model`.

    Raises:
        SettingsError: nothing has that name, or its key is not set; says what to write.
    """
    if (alias := _pool_of(name, settings)) is not None:
        return _looks(name, _pool(alias, settings, environ), environ)
    if name in settings.models:
        return _configured(name, settings.models[name], environ)
    if name in OPENAI_MODELS:
        return _built_in(name, settings, environ)
    provider, fields = _meant(name, environ)
    if provider == "openai" and "base_url" not in fields:
        _check_key(name, settings, environ)
    return _of(provider, name, fields, environ)


def pool(name: str, settings: Settings, environ: Mapping[str, str], *, every: bool = False) -> Pool | None:
    """The deployments to choose from; None where there is one without limits: nothing is to be chosen or counted.

    One whose key is not set is left out, unless `every` one is asked for, or none has its key.

    Raises:
        SettingsError: as `resolve`.
    """
    if "deployments" in settings.models.get(name, ()):
        several = _pool(name, settings, environ)
        return several if every else replace(several, members=_ready(several, environ))
    found = resolve(name, settings, environ)
    return Pool(name, (found,)) if found.limited or found.tools == "none" else None


def alone(name: str, fallback: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> str | None:
    """What is to be said when nobody stands in for a model at an endpoint that may fail; None: somebody does."""
    found = pool(name, settings, environ)
    first = resolve(name, settings, environ)
    if set(fallback) - {name} or (found and len(found.members) > 1) or first.provider in NO_KEY:
        return None
    return (
        f"{name!r} has one deployment ({first.model} at {host(first.base_url or first.provider)}) and no fallback: "
        f"when it fails the run fails. Write --fallback, or a second one: [tool.orchmagic.models] {name} = ["
        f'"{first.model}", "openrouter/…"]'
    )


def table(settings: Settings, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    """All deployments that have a short name and can be resolved now, the settings' own first."""
    return tuple(_known(settings, environ))


def checked(entries: Mapping[str, Mapping[str, Any]], settings: Settings, environ: Mapping[str, str]) -> None:
    """Whether these aliases could be used beside the settings' own; keys that are not set yet are no obstacle.

    Raises:
        SettingsError: one could not; says what to write.
    """
    together = replace(settings, models={**settings.models, **entries})
    for name in entries:
        pool(name, together, environ, every=True)


def kept(name: str, settings: Settings, added: Iterable[str]) -> str:
    """Why an alias cannot be removed: what was not added in this kernel stands somewhere else."""
    if name in settings.models:
        return f"{name!r} was not added here: remove it where it stands, in pyproject.toml, %config or ORCHMAGIC_MODELS"
    known = ", ".join(added) or "none"
    return f"no alias {name!r} was added here (added: {known}){nearest(name, added)}"


def _known(settings: Settings, environ: Mapping[str, str]) -> Iterator[Deployment]:
    for name in dict.fromkeys([*settings.models, *OPENAI_MODELS, *NO_KEY]):
        try:
            yield resolve(name, settings, environ)
        except SettingsError:  # an alias that needs a line in the settings first is no deployment yet
            continue


def ready(deployment: Deployment, environ: Mapping[str, str]) -> bool:
    """Whether the key that the deployment needs is set; whether its endpoint answers is not known here."""
    return api_keys.lack(deployment, environ) is None


def _pool(name: str, settings: Settings, environ: Mapping[str, str]) -> Pool:
    entry = settings.models[name]
    labels: dict[str, Deployment] = {}
    for number, given in enumerate(entry["deployments"], 1):
        fields = dict(given)
        said = fields.pop("name", None)
        found = _one(f"{name}.deployments[{number}]", fields, settings, environ)
        label = said or _label(given, found)
        if said and label in labels:
            raise SettingsError(f"models.{name} has two deployments called {label!r}: give each a name of its own")
        spare = (f"{label}-{i}" for i in itertools.count(2))
        unique = next(x for x in itertools.chain([label], spare) if x not in labels)
        labels[unique] = replace(found, alias=f"{name}@{unique}")
    return Pool(name, tuple(labels.values()), entry.get("policy", "order"), entry.get("hedge"))


def _one(where: str, fields: dict[str, Any], settings: Settings, environ: Mapping[str, str]) -> Deployment:
    """A deployment of a pool, from its entry; a name in it is an endpoint's model, an alias, or any model's name."""
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


def _label(given: Mapping[str, Any], found: Deployment) -> str:
    use = given.get("use", "")
    endpoint = given.get("endpoint") or use.partition("/")[0]
    if endpoint in presets.PRESETS or use:
        return str(endpoint if endpoint in presets.PRESETS else use)
    return host(found.base_url) if found.base_url else found.model


def _pool_of(name: str, settings: Settings) -> str | None:
    """The alias of several that `alias` or `alias@name` names."""
    known = (a for a in (name, name.partition("@")[0]) if "deployments" in settings.models.get(a, ()))
    return next(known, None)


def _ready(found: Pool, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    return tuple(m for m in found.members if ready(m, environ)) or found.members


def _looks(name: str, found: Pool, environ: Mapping[str, str]) -> Deployment:
    """The deployment of that name; for the alias itself the first one, with what all of them, or any, can.

    That is what a caller may count on before one is chosen.
    """
    members = found.members
    if name != found.alias:
        names = [m.alias for m in members]
        if name not in names:
            raise SettingsError(f"no deployment {name!r} (known: {', '.join(names)}){nearest(name, names)}")
        return members[names.index(name)]
    members = _ready(found, environ)
    return replace(
        members[0],
        alias=found.alias,
        logprobs=all(m.logprobs for m in members),
        vision=any(m.vision for m in members),
    )


def _meant(name: str, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The provider that a model's name means wherever it is written, and the fields that the name says.

    Raises:
        SettingsError: it has an endpoint in front that nobody knows; OpenAI's own models have no slash in their names.
    """
    provider, _, model = name.partition("/")
    if provider in NO_KEY or (model and provider != "openai" and provider in PROVIDERS.names()):
        return provider, {"model": model or NO_KEY[provider]}
    if _known_endpoint(provider, model, environ):
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


def _known_endpoint(provider: str, model: str, environ: Mapping[str, str]) -> bool:
    """Whether `provider/model` names a preset; behind a server of one's own it is a name of that server's."""
    own = environ.get(BASE_ENV)
    return bool(model) and provider in presets.PRESETS and provider != "openai" and not (own and not at_openai(own))


def _configured(name: str, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
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
        provider, said = _meant(fields.get("model", name), environ)
        return _of(provider, name, {**said, **fields, "model": said["model"]}, environ)
    provider = fields.get("provider", "openai")
    return _of(provider, name, {"model": NO_KEY.get(provider, name), **fields}, environ)


def _of(provider: str, name: str, fields: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    match provider:
        case "openai":
            return _openai(name, fields, environ)
        case "local":
            return _local(name, fields)
        case "scripted":
            return _scripted(name, fields)
        case _:
            return Deployment(**{"alias": name, "provider": provider, **fields})


def _built_in(name: str, settings: Settings, environ: Mapping[str, str]) -> Deployment:
    chosen = settings.model if settings.model not in OPENAI_MODELS or settings.model in settings.models else ""
    if chosen and name == "default":
        return replace(resolve(chosen, settings, environ), alias=name)
    asked = environ.get(KEY_ENV) or environ.get(BASE_ENV)
    if asked and at_openai(base(environ)):
        model = settings.model if name == "default" and settings.model in OPENAI_MODELS else name
        return _openai(name, {"model": OPENAI_MODELS[model]}, environ)
    if chosen:  # the one model that is named is all that is known to exist: it stands for every alias
        return replace(resolve(chosen, settings, environ), alias=name)
    if not asked:
        return _local(name, {"model": LOCAL_MODEL})
    raise SettingsError(
        f"{name!r} names no model at {shown(base(environ))} ({BASE_ENV}): set ORCHMAGIC_MODEL, or write "
        f'[tool.orchmagic.models] {name} = "the-model" in pyproject.toml'
    )


def _openai(name: str, fields: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    url = str(fields.get("base_url") or base(environ))
    known = at_openai(url)
    guessed: dict[str, Any] = {
        "alias": name,
        "provider": "openai",
        "base_url": url,
        "key_env": KEY_ENV,
        "logprobs": known and str(fields["model"]).startswith("gpt-4"),
        "vision": not (known and str(fields["model"]).startswith(_BLIND)),
        "max_tokens_field": "max_completion_tokens" if known else "max_tokens",
    }
    return Deployment(**{**guessed, **fields})


def _local(name: str, fields: Mapping[str, Any]) -> Deployment:
    # the same output every time only without sampling and without a prompt cache that changes the sums
    steady = {"temperature": 0, "seed": 1, "cache_prompt": False}
    known: dict[str, Any] = {"alias": name, "provider": "local", "tools": "json", "logprobs": True, "vision": False}
    own = {**steady, **fields.get("parameters", {})}
    return Deployment(**{**known, **fields, "parameters": own})


def _scripted(name: str, fields: Mapping[str, Any]) -> Deployment:
    return Deployment(**{"alias": name, "provider": "scripted", "logprobs": True, **fields})


def _check_key(name: str, settings: Settings, environ: Mapping[str, str]) -> None:
    """Whether anything says where a model of this name could be.

    Raises:
        SettingsError: neither a key nor an endpoint is set.
    """
    if environ.get(KEY_ENV) or environ.get(BASE_ENV):
        return
    known = [*settings.models, *OPENAI_MODELS, *NO_KEY]
    raise SettingsError(
        f"model {name!r} needs a key and {KEY_ENV} is not set: set it (or {BASE_ENV} for a server of your "
        f'own), or write "local"{nearest(name, known)}'
    )
