"""`%orch models`: every deployment with its price, whether it can be reached, and how it has been doing.

To reach is to ask for the list of models (GET /models), which costs nothing anywhere; three seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError
from orchmagic.models import Deployment
from orchmagic.models.pricing import prices
from orchmagic.models.routing import aliases, api_keys
from orchmagic.models.routing.health import Health
from orchmagic.models.wire.chat_completions import line
from orchmagic.models.wire.http_errors import redact
from orchmagic.models.wire.urls import KEY_ENV, base, host, is_address, on_loopback, shown

if TYPE_CHECKING:
    from httpx2 import Response

PATIENCE = 3.0  # seconds
_REFUSED = (401, 403)
HEADER = ("alias", "model", "endpoint", "$/M in", "$/M out", "key", "reached", "seen", "state")


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether an endpoint answered, in how many seconds; `said` is for a person."""

    fine: bool
    said: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """An alias that cannot be used now; `write` says what to write."""

    alias: str
    write: str


def deployments(settings: Settings, environ: Mapping[str, str]) -> tuple[Deployment, ...]:
    """Every deployment that has a short name: an alias of several is shown by its members."""
    found: list[Deployment] = []
    for single in aliases.table(settings, environ):
        several = aliases.pool(single.alias, settings, environ, every=True)
        found += several.members if several else [single]
    return tuple(found)


def missing(settings: Settings, environ: Mapping[str, str]) -> Iterator[Missing]:
    """What stands in the way of the settings' own aliases: a key that is not set, an entry that is wrong."""
    for name in settings.models:
        try:
            several = aliases.pool(name, settings, environ, every=True)
            members = several.members if several else (aliases.resolve(name, settings, environ),)
        except SettingsError as error:
            yield Missing(name, str(error))
            continue
        yield from (Missing(m.alias, said) for m in members if (said := api_keys.lack(m, environ)))


def unusable_aliases(settings: Settings, environ: Mapping[str, str]) -> Iterator[Missing]:
    """The settings' own aliases that the table cannot tell: wrong entries, and keys that cannot be looked up."""
    for lack in missing(settings, environ):
        if not lack.write.startswith("needs "):  # a key that is not set stands in the table
            yield lack


def alone(settings: Settings, environ: Mapping[str, str]) -> Iterator[Missing]:
    """The default model and the settings' own, where nobody stands in for them when their endpoint fails."""
    for name in dict.fromkeys((settings.model, *settings.models)):
        with suppress(SettingsError):  # told by `missing`
            if said := aliases.alone(name, settings.fallback, settings, environ):
                yield Missing(name, said)


async def reach(deployment: Deployment, environ: Mapping[str, str], patience: float = PATIENCE) -> Reach:
    """Ask the endpoint for its models; nothing is generated, so nothing is billed."""
    if deployment.provider != "openai":
        return Reach(fine=True, said="here")
    url = deployment.base_url or base(environ)
    if not is_address(url):
        return Reach(fine=False, said=f"{shown(url)} is no address")
    from httpx2 import AsyncClient, HTTPError  # noqa: PLC0415 - heavy; comes with openai

    try:
        key = environ.get(deployment.key_env or KEY_ENV)
    except SettingsError:  # a keyring that cannot be asked: told beside the key
        return Reach(fine=False, said="not asked")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    began = time.perf_counter()
    try:
        async with asyncio.timeout(patience), AsyncClient(trust_env=not on_loopback(url)) as client:
            answer = await client.get(f"{url.rstrip('/')}/models", headers=headers)
    except TimeoutError:
        return Reach(fine=False, said=f"no answer in {patience:g} s")
    except (HTTPError, OSError, ValueError) as error:
        said = redact(line(str(error) or type(error).__name__, 60))
        return Reach(fine=False, said=f"not reached: {said.replace(key, '[key]') if key else said}")
    took = time.perf_counter() - began
    return _heard(answer, took, deployment.key_env or KEY_ENV)


def _heard(answer: Response, took: float, key_env: str) -> Reach:
    """Reached is who has a list of models: what else answers may be a wrong path, or somebody else's server."""
    if answer.status_code in _REFUSED:
        return Reach(fine=False, said=f"{key_env} was refused ({answer.status_code})", seconds=took)
    if not answer.is_success:
        return Reach(fine=False, said=f"{answer.status_code} for /models: is base_url right?", seconds=took)
    try:
        answer.json()
    except ValueError:  # the page of a web server
        return Reach(fine=False, said=f"{answer.status_code}, not in the protocol: is base_url right?", seconds=took)
    return Reach(fine=True, said=f"{took * 1000:.0f} ms", seconds=took)


async def rows(
    settings: Settings, environ: Mapping[str, str], health: Health, *, ask: bool = True
) -> list[tuple[str, ...]]:
    """The table of `%orch models`, its header first; without `ask` nothing is sent."""
    known = deployments(settings, environ)
    unasked = [Reach(fine=True, said="-")] * len(known)
    reached = await asyncio.gather(*(reach(d, environ) for d in known)) if ask else unasked
    return [HEADER, *_rows(known, reached, environ, health)]


def _rows(
    known: Iterable[Deployment], reached: Iterable[Reach], environ: Mapping[str, str], health: Health
) -> Iterator[tuple[str, ...]]:
    for deployment, found in zip(known, reached, strict=True):
        rates = prices.rates(deployment)
        fresh, written = ("?", "?") if rates is None else (f"{rates[0]:g}", f"{rates[1]:g}")
        place = host(deployment.base_url) if deployment.base_url else deployment.provider
        seen = health.seen(deployment)
        latency = "-" if seen is None else f"{seen.latency:.2f} s, {seen.uptime:.0%} of calls"
        told = (deployment.alias, deployment.model, place, fresh, written, _key(deployment, environ))
        yield (*told, found.said, latency, health.state(deployment))


def _key(deployment: Deployment, environ: Mapping[str, str]) -> str:
    name = deployment.key_env
    if name is None:
        return "-"
    try:
        found = bool(environ.get(name))
    except SettingsError:
        return "cannot be read"
    needed = not on_loopback(deployment.base_url or base(environ))
    return "set" if found else f"set {name}" if needed else "none needed"
