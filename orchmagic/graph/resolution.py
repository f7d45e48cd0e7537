"""Resolves limits, call settings and models that are set in several places (step, magic line, settings).

Inside one cell the nearest place wins. From near to far:

    limits of a run   the control line of a loop (`until … max 4`), the magic line, the settings, the built-in value
    values of a call  the option of the step, the magic line, the settings, the built-in value
    models, fallback  the option of the step, the line of its cell, of the cells around it, of the run, the settings

The settings are themselves merged from notebook, environment and project (see core.settings). "none" is a value:
`--deadline none` removes the deadline of the settings. core.limits lists the limits that may be removed.

Between a cell and the cells that it is used in, the stricter rule holds, for all that `Safety` lists (`stricter`):

    guards            the rules of both; of two for one guard at one place: block, redact, restore, warn
    cache             off, exact, semantic; the shorter time; --no-cache before --refresh
    timeout, retry    the smaller number
    thread            the inner cell's: its steps see only that conversation
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from orchmagic.core import limits
from orchmagic.core.limits import OPEN, Open
from orchmagic.core.validators import CachePolicy, cache_policy
from orchmagic.graph.model import DEFAULTS, Call, Graph, Limits, Safety, Tools
from orchmagic.models.batching import AT_ONCE

if TYPE_CHECKING:
    from orchmagic.core.settings import Settings
    from orchmagic.language.magic_line import RunOptions

T = TypeVar("T", int, float)

_REUSE = ("use", "refresh", "off")  # of answers, the strictest last
_MATCHING = (None, "semantic", "exact", "off")  # of a cache policy, likewise
_LIMITS = ("max_iterations", "max_steps", "max_tokens", "budget", "deadline", "concurrency")


def options_with_settings(options: RunOptions, settings: Settings, *, in_batches: bool = False) -> RunOptions:
    """Fills options that the magic line does not give from the settings. No limit in the settings becomes "none".

    `in_batches`: the run waits for batches, so the built-in limits of time and of items at once do not hold.
    """
    unsaid = [name for name in _LIMITS if getattr(options, name) is None]
    values = {name: getattr(settings, name) for name in unsaid}
    if in_batches:
        values |= {n: patient for n, (usual, patient) in _IN_BATCHES.items() if values.get(n) == usual}
    rounds = options.max_iterations or settings.max_iterations
    given: dict[str, Any] = {name: OPEN if value is None else value for name, value in values.items()}
    return replace(
        options,
        rounds=rounds if options.max_iterations or rounds != limits.MAX_ITERATIONS else None,
        light="small" if options.model is None and "small" in settings.models else None,
        fallback=options.fallback or settings.fallback,
        retry=settings.reask if options.retry is None else options.retry,
        **given,
    )


def run_limits(options: RunOptions) -> Limits:
    """Returns the limits of a run; a limit that the options do not give has its built-in value."""
    said = ((name, getattr(options, name)) for name in _LIMITS)
    given: dict[str, Any] = {name: bound(value) for name, value in said if value is not None}
    return replace(DEFAULTS, **given)


def patient(limits: Limits) -> Limits:
    """Returns the limits of a cell that is used in one with --batch, without the built-in ones that are too short."""
    given = {n: value for n, (usual, value) in _IN_BATCHES.items() if getattr(limits, n) == usual}
    return replace(limits, **given)


def bound(value: T | Open | None) -> T | None:
    """Converts a limit to the runtime's form, where None means no limit."""
    return None if value == OPEN else value


def safety(options: RunOptions) -> Safety:
    """Returns what a magic line says of the safety of its calls."""
    return Safety(
        guard=options.guard,
        cache=options.cache,
        answers="off" if options.no_cache else "refresh" if options.refresh else "use",
        timeout=options.timeout,
        retry=options.retry,
        max_steps=options.max_steps,
        thread=options.thread,
        thread_tokens=options.thread_tokens,
        thread_summary=options.thread_summary,
        batch=options.batch,
    )


def stricter(outer: Safety, inner: Safety) -> Safety:
    """Returns what holds inside a cell that is used in another one: the stricter of both, or what one of them says."""
    return Safety(
        guard=(*outer.guard, *(rule for rule in inner.guard if rule not in outer.guard)),
        cache=_stricter_cache(outer.cache, inner.cache),
        answers=max(outer.answers, inner.answers, key=_REUSE.index),
        timeout=_shorter(outer.timeout, inner.timeout),
        retry=_least(outer.retry, inner.retry),
        thread=inner.thread or outer.thread,
        thread_tokens=(inner if inner.thread else outer).thread_tokens,
        thread_summary=(inner if inner.thread else outer).thread_summary,
        batch=outer.batch or inner.batch,
    )


def _stricter_cache(one: CachePolicy | None, other: CachePolicy | None) -> CachePolicy | None:
    if one is None or other is None:
        return one or other
    how = max(one.how, other.how, key=_MATCHING.index)
    return CachePolicy(how, _least(one.ttl, other.ttl))


def _least(one: T | None, other: T | None) -> T | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _shorter(one: float | Open | None, other: float | Open | None) -> float | Open | None:
    """Returns the shorter of two time limits; None says nothing, "none" is longer than any number."""
    numbers = [value for value in (one, other) if value is not None and value != OPEN]
    return min(numbers, default=one or other)


_IN_BATCHES: dict[str, tuple[Any, Any]] = {  # limit: its built-in value, and the one while a run waits for batches
    "deadline": (limits.DEADLINE, None),
    "concurrency": (limits.CONCURRENCY, AT_ONCE),
}


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """What a call uses if its step does not set it. `timeout` is in seconds, None: no limit.

    `cache` is set by --no-cache and --refresh for this run, `keep` is the cache policy otherwise.
    `retries` is the number of attempts after a failed one, in the pipeline and in exported modules. `said` is what
    this cell and those around it say, `around` what only those around it say: it also bounds options of single steps.
    """

    model: str = "default"
    fallback: tuple[str, ...] = ()
    timeout: float | None = limits.TIMEOUT
    max_tokens: int = limits.REPLY_TOKENS
    cache: Literal["use", "refresh", "off"] = "use"
    keep: CachePolicy = field(default_factory=CachePolicy)
    stream: bool = False
    retries: int = limits.RETRY
    batch: bool = False
    said: Safety = field(default_factory=Safety)
    around: Safety = field(default_factory=Safety)

    def within(self, graph: Graph) -> CallDefaults:
        """Returns the defaults for the calls of `graph`: its own models replace these, the stricter safety holds."""
        models = replace(self, model=graph.model or self.model, fallback=graph.fallback or self.fallback)
        if graph.safety is None:  # a part of the cell that these defaults are for
            return models
        said = stricter(self.said, graph.safety)
        return replace(
            models,
            timeout=self.timeout if said.timeout is None else bound(said.timeout),
            cache=max(self.cache, said.answers, key=_REUSE.index),
            keep=said.cache.over(self.keep) if said.cache else self.keep,
            retries=self.retries if said.retry is None else said.retry,
            batch=said.batch,
            said=said,
            around=self.said,
        )

    def models(self, node: Call) -> tuple[str, ...]:
        """Returns the models of a call: one, or one per visit (the last one for all later visits)."""
        return node.ladder or (node.model or self.model,)

    def fallbacks(self, node: Call) -> tuple[str, ...]:
        """Returns the fallback models of a call; a step's own `fallback=` replaces the default."""
        return self.fallback if node.fallback is None else node.fallback

    def timeout_of(self, node: Call | Tools) -> float | None:
        """Returns the seconds that an attempt of a call, or a tool, may take; None: no limit."""
        own = self.timeout if node.timeout is None else node.timeout
        around = self.around.timeout
        return own if around is None else bound(_shorter(OPEN if own is None else own, around))

    def cache_of(self, node: Call) -> CachePolicy:
        """Returns the cache policy of a call."""
        own = cache_policy(node.cache).over(self.keep) if node.cache else self.keep
        return _stricter_cache(own, self.around.cache) or own

    def reasks(self, node: Call) -> int:
        """Returns how often a call is repeated if its reply does not fit."""
        return node.retry if self.around.retry is None else min(node.retry, self.around.retry)

    @property
    def code_timeout(self) -> float | None:
        """The seconds that an expression may take: --timeout, not the setting, as it may run an orchestration."""
        return bound(self.said.timeout)

    def reply_tokens(self, node: Call) -> int:
        """Returns the most tokens of one reply."""
        return self.max_tokens if node.max_tokens is None else node.max_tokens


def call_defaults(options: RunOptions, settings: Settings) -> CallDefaults:
    """Returns the defaults for the calls of a run: from the magic line, else from the settings."""
    return CallDefaults(
        model=options.model or settings.model,
        fallback=options.fallback or settings.fallback,
        timeout=settings.timeout if options.timeout is None else bound(options.timeout),
        max_tokens=settings.reply_tokens,
        cache="off" if options.no_cache else "refresh" if options.refresh else "use",
        keep=(options.cache or CachePolicy()).over(cache_policy(settings.cache)),
        retries=settings.retry if options.retry is None else options.retry,
        batch=options.batch,
    )
