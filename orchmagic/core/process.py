"""Identify the current user, notebook and process, and check whether a recorded process is still alive."""

from __future__ import annotations

import getpass
import os
import platform
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process as stored in the history. The process id alone is not enough: containers often reuse it.

    `life` is a random text, new in each process, which tells a reused id from the earlier process.
    """

    pid: int
    host: str
    life: str

    @property
    def gone(self) -> bool:
        """Whether it has certainly ended. False for a process on another host, which cannot be checked."""
        here = this()
        if self.host != here.host:
            return False
        if self.pid == here.pid:
            return self.life != here.life
        return self.pid <= 0 or not _alive(self.pid)


_LIFE = uuid.uuid4().hex


def this() -> Process:
    """Return the current process. A forked child is a different process, since its id differs."""
    return Process(os.getpid(), platform.node(), f"{_LIFE}-{os.getpid()}")


def folder() -> Path:
    """Return the working folder; the path that it had if it was deleted or renamed, or the root if that is unknown."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        sys.path_importer_cache.setdefault("", None)  # else an import of a package with pkgutil's paths fails
    try:
        return Path(str(Path("/proc/self/cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:  # not on Linux
        return Path(os.sep)


@lru_cache(maxsize=1)
def user() -> str:
    """Return the account's name; empty if there is none, as in many containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user id has no account
        return ""


def notebook(namespace: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> str:
    """Return the notebook's file if the front end provides it; empty in a terminal or a script.

    VS Code sets it in the namespace; Jupyter's server passes it to the kernel, and ipykernel to the namespace.
    """
    names = (namespace.get("__vsc_ipynb_file__"), namespace.get("__session__"), environ.get("JPY_SESSION_NAME"))
    return next((name for name in names if isinstance(name, str) and name), "")


if sys.platform == "win32":

    def _alive(pid: int) -> bool:
        import ctypes  # noqa: PLC0415 - needed on Windows only

        handle, code = ctypes.windll.kernel32.OpenProcess(0x1000, 0, pid), ctypes.c_ulong()
        if not handle:
            return False
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == 259  # noqa: PLR2004 - STILL_ACTIVE

else:

    def _alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True
