"""Settings: what holds for every cell unless the cell says otherwise.

Three places, the most local one wins, key by key: the project (`[tool.orchmagic]` in the nearest
pyproject.toml that has it), then the machine (`ORCHMAGIC_<FIELD>`), then the notebook
(`%config OrchMagic.<field> = ...`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchmagic.core import model_entries, spend_limit, validators
from orchmagic.core.semantic_policy import parse
from orchmagic.core.spend_limit import SpendLimit
from orchmagic.core.validators import Reader
from orchmagic.errors import SettingsError

PREFIX = "ORCHMAGIC_"


def _user_cache() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 - only when no folder is set

    return user_cache_path("orchmagic")


def _user_state() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415 - as above

    return user_state_path("orchmagic")


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds for times, US dollars for money; None leaves that bound open.

    `retry` counts the transport's retries of one call, `reask` the repeats of a question whose answer does
    not fit. `max_tokens`, `budget`, `deadline`, `max_steps` and `max_iterations` bound a run, `timeout` an
    attempt and `reply_tokens` an answer; `concurrency` bounds the items of one step at once. `history` keeps runs
    in `history_dir`; `checkpoints` is the URL of a Postgres database for LangGraph's (None: SQLite beside it).
    `guard` holds rules such as "secrets=block" for every cell.
    `otel` "off" sends no run to a collector, whatever the environment says; `audit` is the file of the audit log.
    `notebook_budget` bounds all runs of a kernel together. `cache` is how long an answer is
    served again, such as "12h", or "off"; with "semantic" to the same question in other words, too, as `semantic` says
    (see semantic.parse). `models` maps an alias to fields of one Deployment or of several
    (see entries.py).
    """

    model: str = "default"
    fallback: tuple[str, ...] = ()
    retry: int = 2
    reask: int = 1
    timeout: float | None = 60.0
    deadline: float | None = 600.0
    budget: float | None = None
    max_tokens: int | None = 200_000
    reply_tokens: int = 1024
    max_steps: int = 50
    max_iterations: int = 8
    concurrency: int = 16
    history: str = "on"
    history_dir: Path = field(default_factory=_user_state)
    checkpoints: str | None = None
    otel: str = "on"
    audit: Path | None = None
    notebook_budget: SpendLimit = field(default_factory=SpendLimit)
    guard: tuple[str, ...] = ()
    cache: str = "30d"
    cache_dir: Path = field(default_factory=_user_cache)
    cache_url: str | None = None
    semantic: str = ""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


FIELDS: Mapping[str, Reader] = {
    "model": validators.text,
    "fallback": validators.words,
    "retry": validators.whole(0),
    "reask": validators.whole(0),
    "timeout": validators.optional(validators.seconds),
    "deadline": validators.optional(validators.seconds),
    "budget": validators.optional(validators.money),
    "max_tokens": validators.optional(validators.whole(1)),
    "reply_tokens": validators.whole(1),
    "max_steps": validators.whole(1),
    "max_iterations": validators.whole(1),
    "concurrency": validators.whole(1),
    "history": validators.one_of("on", "off"),
    "history_dir": validators.path,
    "checkpoints": validators.optional(validators.text),
    "otel": validators.one_of("on", "off"),
    "audit": validators.optional(validators.path),
    "notebook_budget": spend_limit.read,
    "guard": validators.words,
    "cache": validators.cache_age,
    "cache_dir": validators.path,
    "cache_url": validators.optional(validators.text),
    "semantic": validators.written(parse),
    "models": model_entries.models,
}


def load(config: Mapping[str, Any] | None, environ: Mapping[str, str], start: Path) -> Settings:
    """The settings of a session that starts in folder `start`; `config` holds what `%config` set.

    Raises:
        SettingsError: unknown keys or bad values: where, what was found, what to write.
    """
    merged: dict[str, Any] = {}
    models: dict[str, Any] = {}
    # The most local place wins: the author of a notebook knows more than the machine, the machine more than
    # the project. A model is replaced as a whole: half of one endpoint and half of another is never meant.
    for layer in (_project(start), _environment(environ), _notebook(config or {})):
        models |= layer.get("models", {})
        merged |= layer
    return Settings(**{**merged, "models": models})


def _project(start: Path) -> dict[str, Any]:
    for folder in (start.resolve(), *start.resolve().parents):
        file = folder / "pyproject.toml"
        section = _section(file) if file.is_file() else None
        if section is not None:
            pairs = {key.replace("-", "_"): (key, value) for key, value in section.items()}
            return _layer(f"[tool.orchmagic] of {file}", pairs)
    return {}


def _section(file: Path) -> dict[str, Any] | None:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
        section = validators.table(document.get("tool", {})).get("orchmagic")
        return None if section is None else validators.table(section)
    except (OSError, ValueError) as error:  # unreadable, not UTF-8, no TOML, no table
        raise SettingsError(f"{file} cannot be read: {error}") from error


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    # an empty variable is an unset one: that is how shells and CI systems clear them
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
    pairs = {name.removeprefix(PREFIX).lower(): (name, value) for name, value in given.items()}
    return _layer("environment", pairs, lambda key: PREFIX + key.upper())


def _notebook(config: Mapping[str, Any]) -> dict[str, Any]:
    return _layer("%config OrchMagic", {key: (key, value) for key, value in config.items()})


def _layer(where: str, pairs: Mapping[str, tuple[str, object]], spell: Callable[[str], str] = str) -> dict[str, Any]:
    try:
        return model_entries.checked(FIELDS, pairs, spell)
    except model_entries.ProblemsError as error:
        raise SettingsError("\n".join(f"{where}: {problem}" for problem in error.problems)) from None
