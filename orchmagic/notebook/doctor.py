"""Checks the set-up for running cells: packages, models, prices, folders, shared cache; says how to fix problems."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.function_threads import THREADS
from orchmagic.errors import OrchError
from orchmagic.models.routing.redirects import line as redirected
from orchmagic.models.routing.redirects import waits_for_trust

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `found`: finding, with a fix if not `fine`; `advice`: works, but could be safer."""

    what: str
    fine: bool
    found: str
    advice: bool = False

    def __str__(self) -> str:
        return f"{'?? ' if self.advice else 'ok ' if self.fine else '!! '} {self.what}: {self.found}"


def checks(session: Session) -> Iterator[Check]:
    """Runs all checks, basic ones first; none calls a model."""
    yield Check("python", sys.version_info >= (3, 11), sys.version.split()[0])
    for package in ("langgraph", "openai", "plotly", "diskcache", "ipykernel"):
        yield _installed(package, f"pip install {package}")
    try:
        settings = session.settings
    except OrchError as error:
        yield Check("settings", fine=False, found=str(error))
        return
    yield from _trust(session)
    yield _model(session)
    yield _local()
    yield _folder(Path(settings.cache_dir))
    yield _prices()
    if settings.cache_url is not None:
        yield _shared(session)
    if names := THREADS.at_work:
        found = f"{', '.join(names)}: not returned yet; nobody waits for those whose run has ended"
        yield Check("functions at work", fine=True, found=found, advice=True)
    from orchmagic.models.routing import status  # noqa: PLC0415 - only here

    for advice in status.missing(settings, session.services.environ):
        yield Check(f"model {advice.alias}", fine=False, found=_once(advice.write))
    for advice in status.without_fallback(settings, session.services.environ):
        yield Check(f"model {advice.alias}", fine=True, found=advice.write, advice=True)


def _trust(session: Session) -> Iterator[Check]:
    """Reports the files of the project that redirect something, and whether that is used."""
    known = session.services.settings.trust
    for file, redirects in known.found.values():
        told, answer = "; ".join(map(str, redirects)), known.trusts(file)
        if answer is None:
            yield Check("trust", fine=False, found=redirected(file, redirects))
        else:
            yield Check(
                "trust", True, f"{file.path} is {'trusted' if answer else 'refused, so this is not used'}: {told}"
            )


def _once(found: str) -> str:
    """The finding; what the check of trust has said is not said again."""
    return "not used until its file is trusted (see trust)" if waits_for_trust(found) else found


def _installed(package: str, write: str) -> Check:
    try:
        return Check(package, fine=True, found=version(package))
    except PackageNotFoundError:
        return Check(package, fine=False, found=f"not installed: {write}")


def _model(session: Session) -> Check:
    name = session.settings.model
    try:
        deployment = session.services.models.deployment(name)
    except OrchError as error:
        return Check("default model", fine=False, found=_once(str(error)))
    where = deployment.base_url or (
        "in this kernel" if deployment.provider == "local" else "the provider's own endpoint"
    )
    return Check("default model", fine=True, found=f"{name} = {deployment.model} ({deployment.provider}, {where})")


def _local() -> Check:
    from orchmagic.models.local_engine import weights  # noqa: PLC0415 - only here

    engine = _installed("xllamacpp", "pip install 'orchmagic[local]'")
    if not engine.fine:
        return Check("local model", fine=False, found=engine.found)
    missing = weights.missing()
    return Check("local model", not missing, f"engine {engine.found}, " + (missing or "weights installed"))


def _prices() -> Check:
    from orchmagic.models.pricing import price_list  # noqa: PLC0415 - only here; reads the list, 0.2 s

    return Check(
        "prices", fine=True, found=f"{price_list.edition()}; never fetched: pip install -U {price_list.PACKAGE}"
    )


def _folder(folder: Path) -> Check:
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    if os.access(parent, os.W_OK):
        return Check("cache folder", fine=True, found=str(folder))
    return Check("cache folder", fine=False, found=f"{folder} cannot be written: set ORCHMAGIC_CACHE_DIR")


def _shared(session: Session) -> Check:
    """Checks the cache at `cache_url`; the displayed path has no password."""
    try:
        answers = session.services.caches.answers
        stats = None if answers is None else answers.stats()
    except OrchError as error:
        return Check("shared cache", fine=False, found=str(error))
    state = "switched off" if stats is None else f"{stats['path']}, {stats['entries']} answers"
    return Check("shared cache", fine=True, found=state)
