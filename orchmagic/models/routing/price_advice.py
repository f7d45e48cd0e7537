"""Text that says what to write for a model with an unknown price, which a budget in money would not let pass."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from orchmagic.core.settings import Settings
from orchmagic.models.routing.aliases import OPENAI_MODELS, pool, pool_alias, resolve
from orchmagic.models.routing.presets import PRESETS
from orchmagic.models.types import Deployment

_PRICES = ("input_price=IN", "output_price=OUT")
_TOML_PRICES = "input_price = IN, output_price = OUT"
_UNIT = "IN and OUT: US dollars per million tokens, 0 where it costs nothing"


def advice(deployment: Deployment, settings: Settings, environ: Mapping[str, str]) -> str:
    """The setting that gives `deployment` a price, under the name that is looked up."""
    name = _settings_name(deployment, settings, environ)
    pool_name = pool_alias(name, settings)
    if pool_name is not None:
        place = _place(name, pool_name, settings, environ)
        member = settings.models[pool_name]["deployments"][place]
        if "use" not in member:
            where = f"number {place + 1} of its deployments, [tool.orchmagic.models] {_key(pool_name)}"
            return f"add {_TOML_PRICES} to {where}, and restart the kernel ({_UNIT})"
        name = member["use"]
    entry = _entry(name, settings, environ)
    options = " ".join(shlex.quote(f"{key}={_word(value)}") for key, value in entry.items())
    table = ", ".join(f"{key} = {_toml(value)}" for key, value in entry.items())
    return (
        f"write %orch models add {shlex.quote(name)} {options} {' '.join(_PRICES)}, or in pyproject.toml "
        f"[tool.orchmagic.models] {_key(name)} = {{ {table}, {_TOML_PRICES} }} ({_UNIT})"
    )


def _settings_name(deployment: Deployment, settings: Settings, environ: Mapping[str, str]) -> str:
    """The name of the deployment in the settings: its alias, or the configured model if that serves all aliases."""
    name, chosen = deployment.alias, settings.model
    if (
        name not in OPENAI_MODELS
        or name in settings.models
        or (chosen in OPENAI_MODELS and chosen not in settings.models)
    ):
        return name
    return chosen if resolve(chosen, settings, environ).model == deployment.model else name


def _place(name: str, pool_name: str, settings: Settings, environ: Mapping[str, str]) -> int:
    """The index of `name` in the pool's deployments, from 0; 0 for the alias itself."""
    declared = pool(pool_name, settings, environ, every=True)
    names = [m.alias for m in declared.members] if declared else []
    return names.index(name) if name in names else 0


def _entry(name: str, settings: Settings, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The entry of `name` in the settings without prices, or the entry to write."""
    if name in settings.models:
        entry = {k: v for k, v in settings.models[name].items() if k not in {"input_price", "output_price"}}
        return {"model": name, **entry}
    deployment = resolve(name, settings, environ)
    before, _, model = name.partition("/")
    if model and model == deployment.model and before in PRESETS and before != "openai":
        return {"endpoint": before, "model": model}
    provider = {} if deployment.provider == "openai" else {"provider": deployment.provider}
    return {**provider, "model": deployment.model}


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name, ensure_ascii=False)
