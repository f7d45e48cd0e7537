"""Finds the files of a project: the nearest `pyproject.toml` and `.env` of a folder or above it.

The walk upwards ends at the project: the first folder with `.git` or `pyproject.toml`. It never goes above the user's
home, and never into a parent that every account can write to, such as /tmp, where anybody may place a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchmagic.errors import SettingsError

MARKERS = (".git", "pyproject.toml")
_LARGEST = 1 << 20  # bytes; a larger file is no list of settings


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file as it was read. `root` is the folder of its project; the project's files may name paths inside it."""

    path: Path
    root: Path
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def text(self) -> str:
        """The content.

        Raises:
            SettingsError: it is not UTF-8.
        """
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.path} cannot be read: {type(error).__name__}") from None


def folders(start: Path) -> Iterator[Path]:
    """Yields `start` and the folders above it, up to the root of the project."""
    home, here = _home(), start.resolve()
    for folder in (here, *here.parents):
        if folder != here and _is_open_to_all(folder):
            return
        yield folder
        if folder == home or any((folder / marker).exists() for marker in MARKERS):
            return


def nearest(name: str, start: Path) -> ProjectFile | None:
    """Reads the nearest file called `name` in the project of folder `start`; None if there is none.

    Raises:
        SettingsError: it is too large or cannot be read.
    """
    path = root = None
    for folder in folders(start):
        if path is None and (folder / name).is_file():
            path, root = folder / name, folder
        if path is not None and any((folder / marker).exists() for marker in MARKERS):
            root = folder
    return None if path is None or root is None else ProjectFile(path, root, _read(path))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise SettingsError(f"{path} is larger than 1 MB: is it a list of settings?")
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # the account has no home
        return None


def _is_open_to_all(folder: Path) -> bool:
    return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
