"""Which value holds when several places give one: for the limits of a run, for a call, for the models that it asks.

The nearest place wins. From near to far:

    limits of a run   the control line of a loop (`until … max 4`), the magic line, the settings, the built-in value
    values of a call  the option of the step, the magic line, the settings, the built-in value
    models, fallback  the option of the step, the line of its cell, of the cells around it, of the run, the settings

The settings are themselves merged from notebook, environment and project (see core.settings). "none" is a value like
any other: a line that says `--deadline none` opens a deadline of the settings. Which limits may be open: core.limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from orchmagic.core import limits
from orchmagic.core.limits import OPEN, Open
from orchmagic.core.validators import CachePolicy, cache_policy
from orchmagic.graph.model import DEFAULTS, Call, Graph, Limits, Tools

if TYPE_CHECKING:
    from orchmagic.core.settings import Settings
    from orchmagic.language.magic_line import RunOptions

T = TypeVar("T", int, float)

_LIMITS = ("max_iterations", "max_steps", "max_tokens", "budget", "deadline", "concurrency")


def options_with_settings(options: RunOptions, settings: Settings) -> RunOptions:
    """The options of a magic line; what it leaves out is the settings'. An open limit of the settings is "none"."""
    unsaid = [name for name in _LIMITS if getattr(options, name) is None]
    values = {name: getattr(settings, name) for name in unsaid}
    given: dict[str, Any] = {name: OPEN if value is None else value for name, value in values.items()}
    return replace(
        options,
        light="small" if options.model is None and "small" in settings.models else None,
        fallback=options.fallback or settings.fallback,
        retry=settings.reask if options.retry is None else options.retry,
        **given,
    )


def run_limits(options: RunOptions) -> Limits:
    """The limits of a run. What neither line nor settings say is the built-in value."""
    said = ((name, getattr(options, name)) for name in _LIMITS)
    given: dict[str, Any] = {name: bound(value) for name, value in said if value is not None}
    return replace(DEFAULTS, **given)


def bound(value: T | Open | None) -> T | None:
    """A limit as the runtime uses it: None is open."""
    return None if value == OPEN else value


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """What a call uses when its step says nothing. `timeout` in seconds, None: open.

    `cache` is what --no-cache and --refresh say of this one run, `keep` how answers are kept otherwise.
    `retries` counts attempts after a failed one: the pipeline makes them, exported modules name them.
    """

    model: str = "default"
    fallback: tuple[str, ...] = ()
    timeout: float | None = limits.TIMEOUT
    max_tokens: int = limits.REPLY_TOKENS
    cache: Literal["use", "refresh", "off"] = "use"
    keep: CachePolicy = field(default_factory=CachePolicy)
    stream: bool = False
    retries: int = limits.RETRY

    def within(self, graph: Graph) -> CallDefaults:
        """The defaults of the calls of `graph`, which runs where these hold."""
        return replace(self, model=graph.model or self.model, fallback=graph.fallback or self.fallback)

    def models(self, node: Call) -> tuple[str, ...]:
        """The models that a call of this graph asks: one, or for each visit one (the last for all that follow)."""
        return node.ladder or (node.model or self.model,)

    def fallbacks(self, node: Call) -> tuple[str, ...]:
        """The models that it asks after these have failed; a step that says `fallback=` has no others."""
        return self.fallback if node.fallback is None else node.fallback

    def timeout_of(self, node: Call | Tools) -> float | None:
        """Seconds that an attempt of a call, or a tool, may take; None: open."""
        return self.timeout if node.timeout is None else node.timeout

    def reply_tokens(self, node: Call) -> int:
        """The most tokens of one reply."""
        return self.max_tokens if node.max_tokens is None else node.max_tokens


def call_defaults(options: RunOptions, settings: Settings) -> CallDefaults:
    """What the calls of a run use: the magic line's word, else the settings'."""
    return CallDefaults(
        model=options.model or settings.model,
        fallback=options.fallback or settings.fallback,
        timeout=settings.timeout if options.timeout is None else bound(options.timeout),
        max_tokens=settings.reply_tokens,
        cache="off" if options.no_cache else "refresh" if options.refresh else "use",
        keep=(options.cache or CachePolicy()).over(cache_policy(settings.cache)),
        retries=settings.retry if options.retry is None else options.retry,
    )
