"""The answers that are kept: how many, what they saved, and how to forget or mistrust them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchmagic.core.numbers import counted
from orchmagic.errors import InputError
from orchmagic.notebook.commands.tables import cut, table
from orchmagic.trace.humanize import money

if TYPE_CHECKING:
    from orchmagic.models.semantic.semantic_cache import SemanticCache
    from orchmagic.runtime.session import Session


def cache(session: Session, action: str = "", number: str = "") -> str:
    """Cache [hits | entries | wrong HIT | remove ENTRY | clear]: answers, what they saved, their error"""
    store, memory = session.cache, session.memory
    if store is None or memory is None:
        return "The cache is off (%config OrchMagic.cache)."
    match action:
        case "":
            kept = store.stats()
            lines = [f"{counted(int(kept['entries']), 'answer')}, {int(kept['bytes']) / 1024:.0f} kB in {kept['path']}"]
            return "\n".join([*lines, *_semantic(memory)])
        case "clear":
            memory.clear()
            return f"Removed {counted(store.clear(), 'stored answer')}."
        case "hits":
            return _hits(memory)
        case "entries":
            return _entries(memory)
        case "wrong" | "remove" if number:
            from orchmagic.models.semantic import report  # noqa: PLC0415 - only these commands need it

            return report.wrong(memory, number, time.time()) if action == "wrong" else report.remove(memory, number)
    raise InputError(
        f"no command {' '.join(filter(None, ('cache', action, number)))!r}: write %orch cache alone, or with "
        "hits, entries, wrong HIT, remove ENTRY or clear"
    )


def _semantic(memory: SemanticCache) -> list[str]:
    """What the semantic cache did; nothing is said of one that was never used."""
    from orchmagic.models.semantic import report  # noqa: PLC0415 - only this command needs it

    return [report.summary(memory, money)] if memory.used() else []


def _hits(memory: SemanticCache) -> str:
    found = memory.store.hits() if memory.used() else []
    if not found:
        return "The semantic cache has served nothing yet (--cache semantic)."
    rows = [("hit", "asked", "answered as", "score", "entry", "said of it")]
    said = {None: "", True: "right", False: "wrong"}
    rows += [
        (str(h.number), cut(h.asked), cut(h.matched), f"{h.score:.3f}", str(h.entry), said[h.right]) for h in found
    ]
    return table(rows)


def _entries(memory: SemanticCache) -> str:
    found = memory.store.entries() if memory.used() else []
    if not found:
        return "The semantic cache knows no question yet (--cache semantic)."
    now = time.time()
    rows = [("entry", "question", "hours old")]
    rows += [(str(e.number), cut(e.question.shown), f"{(now - e.stored) / 3600:.1f}") for e in found]
    return table(rows)
