"""Commands on models and set-up, and the export of a graph as a module."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.text_format import table
from orchmagic.errors import InputError
from orchmagic.notebook.commands.registry import command

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session


@command
def models(session: Session, action: str = "", *words: str) -> str:
    """Models [add NAME DEPLOYMENT … policy=… | remove NAME]: what is reachable, prices, latency"""
    from orchmagic.models.pricing import price_list  # noqa: PLC0415 - only this command needs it
    from orchmagic.models.routing import status  # noqa: PLC0415 - only this command needs it

    notice = _change(session, action, words) if action else ""
    services, settings = session.services, session.settings
    rows = services.loop.run(status.rows(settings, services.environ, services.models.health))
    wrong = "".join(
        f"\n!! {advice.alias}: {advice.write}" for advice in status.unusable_aliases(settings, services.environ)
    )
    return f"{notice}{table(rows)}{wrong}\nPrices not in the settings are those of {price_list.edition()}."


def _change(session: Session, action: str, words: Sequence[str]) -> str:
    """Adds or removes an alias of this kernel; returns a line for the user.

    Raises:
        InputError, SettingsError: the change is not possible; nothing was changed.
    """
    from orchmagic.core.model_entries import added  # noqa: PLC0415 - only this command needs it
    from orchmagic.models.routing import aliases  # noqa: PLC0415 - as above

    if action == "add":
        entries = added(words)
        aliases.check(entries, session.settings, session.services.environ)
        session.add_models(entries)
        return ""
    if action == "remove" and len(words) == 1:
        session.remove_model(words[0])
        is_set = words[0] in session.settings.models
        return f"{words[0]!r} is again what the settings say.\n" if is_set else f"{words[0]!r} is removed.\n"
    write = "%orch models, %orch models add NAME DEPLOYMENT … or %orch models remove NAME"
    raise InputError(f"unknown command {' '.join((action, *words))!r}: write {write}")


@command
def export(session: Session, name: str, file: str, *options: str) -> str:
    """Export NAME FILE [--force] [--langgraph-json]: a module that runs without orchmagic"""
    if unknown := [o for o in options if o not in {"--force", "--langgraph-json"}]:
        raise InputError(f"unknown option {unknown[0]}: write %orch export NAME FILE --force --langgraph-json")
    how = {"overwrite": "--force" in options, "langgraph_json": "--langgraph-json" in options}
    path = session.find(name).export(Path(file), **how)
    needs = " It asks OPENAI_BASE_URL with OPENAI_API_KEY: for the local model, orchmagic.endpoint().env() has both."
    inputs = " ".join(f"--{n.replace('_', '-')} …" for n in session.find(name).definition.inputs)
    return f"Wrote {path}. Run it with: python {shlex.quote(str(path))} {inputs}".rstrip() + f".{needs}"


@command
def doctor(session: Session) -> str:
    """doctor: check the set-up, and say what to write where something is missing"""
    from orchmagic.notebook.doctor import checks  # noqa: PLC0415 - only this command needs it

    return "\n".join(map(str, checks(session)))
