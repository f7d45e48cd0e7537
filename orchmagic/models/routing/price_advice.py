"""What to write for a model whose price nobody knows, so that a budget of money can let it be asked."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from orchmagic.core.settings import Settings
from orchmagic.models.routing.aliases import OPENAI_MODELS, pool, resolve
from orchmagic.models.routing.presets import PRESETS
from orchmagic.models.types import Deployment

_PRICES = ("input_price=IN", "output_price=OUT")
_UNIT = "IN and OUT: US dollars per million tokens, 0 where it costs nothing"


def advice(deployment: Deployment, settings: Settings, environ: Mapping[str, str]) -> str:
    """The line that gives `deployment` its price, under the name where it is looked up."""
    name = _standing(deployment, settings, environ)
    several = next((a for a in (name, name.partition("@")[0]) if "deployments" in settings.models.get(a, ())), None)
    if several is not None:
        place = _place(name, several, settings, environ)
        member = settings.models[several]["deployments"][place]
        if "use" not in member:
            prices = ", ".join(p.replace("=", " = ") for p in _PRICES)
            found = f"{prices} to number {place + 1} of its deployments, [tool.orchmagic.models] {_key(several)}"
            return f"add {found}, and restart the kernel ({_UNIT})"
        name = member["use"]
    entry = _entry(name, settings, environ)
    words = " ".join(shlex.quote(f"{key}={_word(value)}") for key, value in entry.items())
    inside = ", ".join(f"{key} = {_toml(value)}" for key, value in entry.items())
    prices = ", ".join(p.replace("=", " = ") for p in _PRICES)
    return (
        f"write %orch models add {shlex.quote(name)} {words} {' '.join(_PRICES)}, or in pyproject.toml "
        f"[tool.orchmagic.models] {_key(name)} = {{ {inside}, {prices} }} ({_UNIT})"
    )


def _standing(deployment: Deployment, settings: Settings, environ: Mapping[str, str]) -> str:
    """Its name; where the one model that is known stands for small, large …, that of this model."""
    name, chosen = deployment.alias, settings.model
    if (
        name not in OPENAI_MODELS
        or name in settings.models
        or (chosen in OPENAI_MODELS and chosen not in settings.models)
    ):
        return name
    return chosen if resolve(chosen, settings, environ).model == deployment.model else name


def _place(name: str, several: str, settings: Settings, environ: Mapping[str, str]) -> int:
    """The place in the list, from 0; of the alias itself the first."""
    found = pool(several, settings, environ, every=True)
    names = [m.alias for m in found.members] if found else []
    return names.index(name) if name in names else 0


def _entry(name: str, settings: Settings, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """What stands for `name` in the settings, or would."""
    if name in settings.models:
        own = {k: v for k, v in settings.models[name].items() if k not in {"input_price", "output_price"}}
        return {"model": name, **own}
    found = resolve(name, settings, environ)
    before, _, model = name.partition("/")
    if model and model == found.model and before in PRESETS and before != "openai":
        return {"endpoint": before, "model": model}
    return {"model": found.model} if found.provider == "openai" else {"provider": found.provider, "model": found.model}


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
