"""Aliases: a short name in a cell becomes a Deployment: which model, at which endpoint, spoken to how.

    the settings' own models > default, small, large, tiny > local[/file.gguf] > scripted[/name]
    > provider/model > any other name is a model of the OpenAI-compatible endpoint

Without a key and without an endpoint the four built-in aliases are the embedded local model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.errors import SettingsError, nearest
from orchmagic.models import PROVIDERS, Deployment
from orchmagic.models.endpoint import BASE_ENV, KEY_ENV, at_openai, base, on_loopback, shown
from orchmagic.settings import Settings

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
    if name in settings.models:
        return _configured(name, settings.models[name], environ)
    if name in OPENAI_MODELS:
        return _built_in(name, settings, environ)
    provider, _, model = name.partition("/")
    if provider in NO_KEY:
        return _of(provider, name, {"model": model or NO_KEY[provider]}, environ)
    if model and provider != "openai" and provider in PROVIDERS.names():
        return _of(provider, name, {"model": model}, environ)
    own = model if provider == "openai" and model else name
    return _openai(name, {"model": own}, _with_key(name, settings, environ))


def table(settings: Settings, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    """All deployments that have a short name and can be resolved now, the settings' own first."""
    return tuple(_known(settings, environ))


def _known(settings: Settings, environ: Mapping[str, str]) -> Iterator[Deployment]:
    for name in dict.fromkeys([*settings.models, *OPENAI_MODELS, *NO_KEY]):
        try:
            yield resolve(name, settings, environ)
        except SettingsError:  # an alias that needs a line in the settings first is no deployment yet
            continue


def ready(deployment: Deployment, environ: Mapping[str, str]) -> bool:
    """Whether the key that the deployment needs is set; whether its endpoint answers is not known here."""
    if deployment.provider != "openai":
        return True
    return bool(environ.get(deployment.key_env or KEY_ENV)) or on_loopback(deployment.base_url or base(environ))


def _configured(name: str, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Deployment:
    provider = entry.get("provider", "openai")
    return _of(provider, name, {"model": NO_KEY.get(provider, name), **entry}, environ)


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


def _with_key(name: str, settings: Settings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, when it says where a model of this name could be.

    Raises:
        SettingsError: neither a key nor an endpoint is set.
    """
    if environ.get(KEY_ENV) or environ.get(BASE_ENV):
        return environ
    known = [*settings.models, *OPENAI_MODELS, *NO_KEY]
    raise SettingsError(
        f"model {name!r} needs a key and {KEY_ENV} is not set: set it (or {BASE_ENV} for a server of your "
        f'own), or write "local"{nearest(name, known)}'
    )
