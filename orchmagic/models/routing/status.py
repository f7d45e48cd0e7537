"""The table of `%orch models`: every deployment with price, key, reachability and statistics; and advice on aliases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError
from orchmagic.models.pricing import prices
from orchmagic.models.routing import alias_advice, aliases, api_keys, reachability
from orchmagic.models.routing.health import Health
from orchmagic.models.routing.reachability import Reachability
from orchmagic.models.types import Deployment
from orchmagic.models.wire.urls import base, host, on_loopback

HEADER = ("alias", "model", "endpoint", "$/M in", "$/M out", "key", "reached", "seen", "state")
_UNREADABLE = "cannot be read"  # a key in a keyring that is locked, say


@dataclass(frozen=True, slots=True)
class AliasAdvice:
    """What to write for an alias that cannot be used, or lacks a fallback; `key_unset`: its key is not set."""

    alias: str
    write: str
    key_unset: bool = False


def deployments(settings: Settings, environ: Mapping[str, str]) -> list[Deployment]:
    """The deployments of all aliases, including all members of pools."""
    return [
        member
        for deployment in aliases.resolvable(settings, environ)
        for member in _members(deployment.alias, settings, environ)
    ]


def _members(name: str, settings: Settings, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    pool = aliases.pool(name, settings, environ, every=True)
    return pool.members if pool else (aliases.resolve(name, settings, environ),)


def missing(settings: Settings, environ: Mapping[str, str]) -> Iterator[AliasAdvice]:
    """Advice for aliases in the settings whose key is not set or whose entry is invalid."""
    for name in settings.models:
        try:
            members = _members(name, settings, environ)
        except SettingsError as error:
            yield AliasAdvice(name, str(error))
            continue
        for member in members:
            if write := api_keys.missing_key(member, environ):
                yield AliasAdvice(member.alias, write, key_unset=_key(member, environ) != _UNREADABLE)


def unusable_aliases(settings: Settings, environ: Mapping[str, str]) -> Iterator[AliasAdvice]:
    """Advice for aliases in the settings that the table cannot show: invalid entries and unreadable keys."""
    return (advice for advice in missing(settings, environ) if not advice.key_unset)


def without_fallback(settings: Settings, environ: Mapping[str, str]) -> Iterator[AliasAdvice]:
    """Advice for the default model and those in the settings with neither a fallback nor a second deployment."""
    for name in dict.fromkeys((settings.model, *settings.models)):
        with suppress(SettingsError):  # listed by `missing`
            if write := alias_advice.no_fallback(name, settings.fallback, settings, environ):
                yield AliasAdvice(name, write)


async def rows(
    settings: Settings, environ: Mapping[str, str], health: Health, *, ask: bool = True
) -> list[tuple[str, ...]]:
    """The rows of the table, the header first; without `ask` no endpoint is called."""
    known = deployments(settings, environ)
    unasked = [Reachability(reachable=True, note="-")] * len(known)
    checks = await asyncio.gather(*(reachability.check(d, environ) for d in known)) if ask else unasked
    return [HEADER, *(_row(d, r, environ, health) for d, r in zip(known, checks, strict=True))]


def _row(deployment: Deployment, reached: Reachability, environ: Mapping[str, str], health: Health) -> tuple[str, ...]:
    rates = prices.rates(deployment)
    input_price, output_price = ("?", "?") if rates is None else (f"{rates[0]:g}", f"{rates[1]:g}")
    endpoint = host(deployment.base_url) if deployment.base_url else deployment.provider
    endpoint += " (batches)" * deployment.batch
    stats = health.stats([deployment])[deployment.alias]
    seen = f"{stats.latency:.2f} s, {stats.uptime:.0%} of calls" if stats.measured else "-"
    head = (deployment.alias, deployment.model, endpoint, input_price, output_price, _key(deployment, environ))
    return (*head, reached.note, seen, health.state(deployment))


def _key(deployment: Deployment, environ: Mapping[str, str]) -> str:
    name = deployment.key_env
    if name is None:
        return "-"
    try:
        is_set = bool(environ.get(name))
    except SettingsError:
        return _UNREADABLE
    needed = not on_loopback(deployment.base_url or base(environ))
    return "set" if is_set else f"set {name}" if needed else "none needed"
