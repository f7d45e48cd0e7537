"""`%orch trust`: asks whether the files of the project may send keys, prompts and records where they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchmagic.core import trust as store
from orchmagic.core.text_format import table
from orchmagic.errors import InputError
from orchmagic.notebook.commands.registry import command

if TYPE_CHECKING:
    from orchmagic.core.project import ProjectFile
    from orchmagic.core.trust import Redirect
    from orchmagic.runtime.session import Session

_STATES = {True: "trusted", False: "refused", None: "not answered yet"}
_USED = {True: "These settings are used", False: "These settings are not used", None: "Not used until you trust it"}


@command
def trust(session: Session, answer: str = "") -> str:
    """Trust [yes | no]: what the project's files would redirect; asks whether you allow it"""
    if answer not in {"", "yes", "no"}:
        raise InputError(f"%orch trust {answer}: write %orch trust, %orch trust yes or %orch trust no")
    session.reload()
    _ = session.settings  # reads the files
    known = session.services.settings.trust
    if not known.found:
        return "No file of this project redirects a key, a prompt or a record: nothing to trust."
    said = [_decided(session, file, redirects, answer) for file, redirects in list(known.found.values())]
    session.reload()
    return "\n".join(said)


def _decided(session: Session, file: ProjectFile, redirects: list[Redirect], answer: str) -> str:
    """Asks about one file, unless it was answered, and returns what holds now."""
    before = session.services.settings.trust.trusts(file)
    if not answer:
        print(question(file, redirects, before))  # noqa: T201 - what a person decides on
        if before is not None:
            return f"To change that: %orch trust {'no' if before else 'yes'}"
        answer = _asked(file)
    store.remember(file, trusted=answer == "yes")
    if answer == "yes":
        return f"{file.path} is trusted until it changes. To take that back: %orch trust no"
    return f"{file.path} is not trusted: those settings are not used. To change that: %orch trust yes"


def question(file: ProjectFile, redirects: list[Redirect], answer: bool | None) -> str:
    """What a file would redirect, from where to where, and whether that is used now."""
    rows = [("setting", "what it does", "to", "instead of"), *((r.setting, r.does, r.to, r.instead) for r in redirects)]
    head = f"{file.path} ({_STATES[answer]}, sha256 {file.digest[:12]}). {_USED[answer]}:"
    return f"{head}\n\n{table(rows)}\n"


def _asked(file: ProjectFile) -> str:
    """Asks at the keyboard; anything but yes is no.

    Raises:
        InputError: nobody can be asked here.
    """
    try:
        said = input(f"Do you trust {file.path.name} as it is now? [y/N] ")
    except (EOFError, RuntimeError):  # no terminal; a front end without input
        raise InputError(
            f"nobody can be asked here: write %orch trust yes, python -m orchmagic trust yes, or set "
            f"{store.VARIABLE}={file.path}"
        ) from None
    return "yes" if said.strip().lower() in {"y", "yes"} else "no"
