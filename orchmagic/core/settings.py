"""Settings: the defaults of all cells, which a cell's own options override.

One Pydantic model defines the fields. They are read from three sources; the most local one wins, field by field:

    the project      [tool.orchmagic] in the nearest pyproject.toml, up to the root of the project
    the machine      ORCHMAGIC_<FIELD>
    the notebook     %config OrchMagic.<field> = ...   (notebook/config.py, written from the fields here)

A wrong value or an unknown name becomes one line: source, value found, what to write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from orchmagic.core import limits, model_entries, project, trust, validators
from orchmagic.core.money import SpendLimit, dollars, spend_limit
from orchmagic.core.problems import ProblemsError, checked
from orchmagic.core.project import ProjectFile
from orchmagic.core.semantic_policy import parse
from orchmagic.errors import SettingsError

PREFIX = "ORCHMAGIC_"
LINT = "lint"  # a table of its own, [tool.orchmagic.lint]: see orchmagic/lint/ignoring.py

Screen: TypeAlias = Callable[[ProjectFile, Mapping[str, Any]], Mapping[str, Any]]
"""Returns the settings of a project's file that may be used, given all of them, checked."""


def _user_cache() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 - only when no folder is set

    return user_cache_path("orchmagic")


def _user_state() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415 - as above

    return user_state_path("orchmagic")


Text = Annotated[str, PlainValidator(validators.text)]
OpenText = Annotated[str | None, PlainValidator(validators.optional(validators.text))]
Words = Annotated[tuple[str, ...], PlainValidator(validators.words)]
Repeats = Annotated[int, PlainValidator(validators.whole_number(0))]
Count = Annotated[int, PlainValidator(validators.whole_number(1))]
OpenCount = Annotated[int | None, PlainValidator(validators.optional(validators.whole_number(1)))]
OpenSeconds = Annotated[float | None, PlainValidator(validators.optional(validators.seconds))]
Seconds = Annotated[float, PlainValidator(validators.seconds)]
OpenDollars = Annotated[float | None, PlainValidator(validators.optional(dollars))]
Switch = Annotated[str, PlainValidator(validators.one_of("on", "off"))]
Folder = Annotated[Path, PlainValidator(validators.path)]
OpenFile = Annotated[Path | None, PlainValidator(validators.optional(validators.path))]
CacheAge = Annotated[str, PlainValidator(validators.written(validators.cache_policy))]
SemanticPolicy = Annotated[str, PlainValidator(validators.written(parse))]
Spend = Annotated[SpendLimit, PlainValidator(spend_limit)]
Aliases = Annotated[Mapping[str, Mapping[str, Any]], PlainValidator(model_entries.models)]


def _field(default: Any, help_: str) -> Any:
    """Return a Pydantic field with a default and a help text."""
    return Field(default, description=help_)


class Settings(BaseModel):
    """All settings. Times in seconds, money in US dollars; None means no limit (written as "none").

    The description of a field is its help text in `%config OrchMagic` and in docs/settings.md. For default limits see
    core.limits, for entries of `models` core.model_entries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: Text = _field("default", "model or alias that answers when a cell names none")
    fallback: Words = _field((), "models to try next, separated by commas")
    retry: Repeats = _field(limits.RETRY, "how often a transient failure is tried again")
    reask: Repeats = _field(limits.REASK, "most further calls for a reply that does not fit")
    timeout: OpenSeconds = _field(limits.TIMEOUT, "seconds an attempt may take")
    deadline: OpenSeconds = _field(limits.DEADLINE, "seconds a run may take")
    budget: OpenDollars = _field(None, "US dollars a run may spend")
    max_tokens: OpenCount = _field(limits.MAX_TOKENS, "tokens a run may spend, in and out")
    reply_tokens: Count = _field(limits.REPLY_TOKENS, "tokens one reply may have")
    max_steps: Count = _field(limits.MAX_STEPS, "steps a run may take")
    max_iterations: Count = _field(limits.MAX_ITERATIONS, "turns a loop may take")
    concurrency: Count = _field(limits.CONCURRENCY, "items of one step that run at once")
    history: Switch = _field("on", "on or off: keep runs, so that they survive a restart")
    history_dir: Folder = Field(default_factory=_user_state, description="folder of the run history")
    checkpoints: OpenText = _field(None, "postgresql://… for LangGraph's checkpoints; SQLite otherwise")
    otel: Switch = _field("on", "on or off: send runs to the collector that the environment names")
    audit: OpenFile = _field(None, "file of the audit log")
    notebook_budget: Spend = _field(SpendLimit(), "what all runs of a kernel may spend: 0.50, 100k tokens, or off")
    guard: Words = _field((), "rules for every cell: secrets=block,pii=redact")
    cache: CacheAge = _field("30d", "how long answers are kept: 10s to 365d; semantic; semantic,1d; off")
    semantic: SemanticPolicy = _field("", "threshold=0.97,verifier=small of the semantic cache, or bound=0.02")
    cache_dir: Folder = Field(default_factory=_user_cache, description="folder of the cache")
    cache_url: OpenText = _field(None, "redis://… or valkey://… to share answers; cache_dir otherwise")
    batch_quiet: Seconds = _field(2.0, "seconds without a new request, after which a batch is sent")
    batch_poll: Seconds = _field(60.0, "most seconds between two looks at a batch")
    models: Aliases = _field({}, "aliases: {'small': {'model': …, 'base_url': …}}")


@dataclass(frozen=True, slots=True)
class _Layer:
    """The values of one source: key -> (its spelling there, value); `spell` gives the spelling of any key."""

    where: str
    values: Mapping[str, tuple[str, object]]
    spell: Callable[[str], str] = str
    file: ProjectFile | None = None

    def read(self) -> dict[str, Any]:
        """Return the checked values.

        Raises:
            ProblemsError: all unknown keys and bad values, with their source.
        """
        try:
            values = {key: value for key, (_, value) in self.values.items()}
            read = checked(Settings, values, lambda key: self.values[key][0], self.spell)
        except ProblemsError as error:
            raise ProblemsError([f"{self.where}: {problem}" for problem in error.problems]) from None
        return {key: getattr(read, key) for key in read.model_fields_set}


def load(
    config: Mapping[str, Any] | None,
    environ: Mapping[str, str],
    start: Path,
    screen: Screen = lambda _, values: values,
) -> Settings:
    """Return the settings of a session that starts in folder `start`; `config` holds the values set by `%config`.

    `screen` selects the settings of the project's file that may be used.

    Raises:
        SettingsError: all unknown keys and bad values of all sources: where, value found, what to write.
    """
    merged: dict[str, Any] = {}
    models: dict[str, Any] = {}
    problems: list[str] = []
    file = project.nearest("pyproject.toml", start)
    # The most local source comes last and wins. An entry of `models` is replaced as a whole: fields of two
    # different endpoints must not be mixed.
    for layer in (_project(file), _environment(environ), _notebook(config or {})):
        try:
            values = layer.read()
        except ProblemsError as error:
            problems += error.problems
            continue
        if layer.file is not None:
            values = dict(screen(layer.file, values))
        models |= values.get("models", {})
        merged |= values
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings().model_copy(update={**merged, "models": models})


def of_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the checked settings in environment variables.

    Raises:
        ProblemsError: all unknown keys and bad values.
    """
    return _environment(variables).read()


def _project(file: ProjectFile | None) -> _Layer:
    section = None if file is None else _section(file)
    if file is None or section is None:
        return _Layer("", {})
    values = {key.replace("-", "_"): (key, value) for key, value in section.items() if key != LINT}
    return _Layer(f"[tool.orchmagic] of {file.path}", values, file=file)


def _section(file: ProjectFile) -> dict[str, Any] | None:
    try:
        document = _parsed(file.text)
        section = validators.table(document.get("tool", {})).get("orchmagic")
        return None if section is None else validators.table(section)
    except (ValueError, RecursionError) as error:  # no TOML, no table, nested too deeply
        raise SettingsError(f"{file.path} cannot be read: {error}") from error


@lru_cache(maxsize=4)  # each session reads the file again, and most of it is of other tools
def _parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def _environment(environ: Mapping[str, str]) -> _Layer:
    # an empty variable counts as unset: shells and CI systems clear variables that way
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
    given.pop(trust.VARIABLE, None)  # no setting of cells
    values = {name.removeprefix(PREFIX).lower(): (name, value) for name, value in given.items()}
    return _Layer("environment", values, lambda key: PREFIX + key.upper())


def _notebook(config: Mapping[str, Any]) -> _Layer:
    return _Layer("%config OrchMagic", {key: (key, value) for key, value in config.items()})
