"""Texts that say what to write for an alias without a fallback, and why an alias cannot be removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchmagic.core.settings import Settings
from orchmagic.errors import nearest
from orchmagic.models.routing.aliases import NO_KEY, pool, resolve
from orchmagic.models.wire.urls import host


def no_fallback(name: str, fallback: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> str | None:
    """What to write for a model that has neither a fallback nor a second deployment; None if it has one.

    None too for local and scripted models, which need none.
    """
    members = pool(name, settings, environ)
    first = resolve(name, settings, environ)
    if set(fallback) - {name} or (members and len(members.members) > 1) or first.provider in NO_KEY:
        return None
    return (
        f"{name!r} has one deployment ({first.model} at {host(first.base_url or first.provider)}) and no fallback: "
        f"when it fails the run fails. Write --fallback, or a second one: [tool.orchmagic.models] {name} = ["
        f'"{first.model}", "openrouter/…"]'
    )


def cannot_remove(name: str, settings: Settings, added: Iterable[str]) -> str:
    """Why an alias cannot be removed; only those `added` in this kernel can."""
    if name in settings.models:
        return f"{name!r} was not added here: remove it where it stands, in pyproject.toml, %config or ORCHMAGIC_MODELS"
    known = ", ".join(added) or "none"
    return f"no alias {name!r} was added here (added: {known}){nearest(name, added)}"
