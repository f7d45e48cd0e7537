"""Remembers which files of a project the user trusts: by path and content, in the user's state folder.

A file that changes is asked about again. Without a person, the environment variable ORCHMAGIC_TRUST holds the paths of
trusted files, separated as in PATH. A `.env` file cannot set it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchmagic.core.project import ProjectFile
from orchmagic.errors import SettingsError

VARIABLE = "ORCHMAGIC_TRUST"
_FILE = "trusted.json"
_ANSWERS = {"trusted": True, "refused": False}


@dataclass(frozen=True, slots=True)
class Redirect:
    """A setting of a file that needs trust: what it `does`, where `to`, and what is used `instead` without it."""

    setting: str
    does: str
    to: str
    instead: str

    def __str__(self) -> str:
        return f"{self.setting} {self.does} {self.to}"


def answer(file: ProjectFile, environ: Mapping[str, str] = os.environ) -> bool | None:
    """Whether the user trusts the file as it is now; None if nobody was asked, or the file changed since."""
    paths = environ.get(VARIABLE, "").split(os.pathsep)
    if any(Path(path).expanduser().resolve() == file.path.resolve() for path in paths if path.strip()):
        return True
    found = _answers().get(str(file.path))
    if not isinstance(found, dict) or found.get("sha256") != file.digest:
        return None
    return _ANSWERS.get(str(found.get("answer")))


def remember(file: ProjectFile, *, trusted: bool) -> None:
    """Stores the user's answer for the file as it is now.

    Raises:
        SettingsError: the user's state folder cannot be written.
    """
    said = "trusted" if trusted else "refused"
    with _written():
        _place({**_answers(), str(file.path): {"sha256": file.digest, "answer": said}})


def _store() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415 - only if a file needs trust

    return user_state_path("orchmagic") / _FILE


def _answers() -> dict[str, Any]:
    """All answers by path. A file that cannot be read trusts nothing."""
    try:
        found = json.loads(_store().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _place(answers: Mapping[str, Any]) -> None:
    """Writes the file atomically, readable for its owner alone."""
    store = _store()
    store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = store.with_name(f".{store.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(answers, indent=1), "utf-8")
    beside.replace(store)


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise SettingsError(
            f"the answer cannot be stored in {_store()} ({why}): set {VARIABLE} to the path of the file instead"
        ) from None
