"""The answers that are kept: how many, what they saved, and how to forget or mistrust them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchmagic.errors import InputError

if TYPE_CHECKING:
    from orchmagic.session import Session


def cache(session: Session, action: str = "") -> str:
    """Cache [clear]: how many answers are stored, where; or forget them"""
    store = session.cache
    if store is None:
        return "The cache is off (%config OrchMagic.cache)."
    if action == "clear":
        return f"Removed {store.clear()} stored answers."
    if action:
        raise InputError(f"unknown cache command {action!r}: write %orch cache or %orch cache clear")
    s = store.stats()
    return f"{s['entries']} answers, {int(s['bytes']) / 1024:.0f} kB in {s['path']}"
