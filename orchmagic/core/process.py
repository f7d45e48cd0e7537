"""Who runs something: which user, in which notebook, in which process, and does that process still live?"""

from __future__ import annotations

import getpass
import os
import platform
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is written down. Its id is not enough: containers give the same one to the next process.

    `life` is new in each process, so that an id that is given out again does not name the earlier one.
    """

    pid: int
    host: str
    life: str

    @property
    def gone(self) -> bool:
        """Whether it has surely ended. False for a process of another machine: this one cannot know."""
        here = this()
        if self.host != here.host:
            return False
        if self.pid == here.pid:
            return self.life != here.life
        return self.pid <= 0 or not _alive(self.pid)


_LIFE = uuid.uuid4().hex


def this() -> Process:
    """The current process. A fork has an id of its own, and so is another one."""
    return Process(os.getpid(), platform.node(), f"{_LIFE}-{os.getpid()}")


def user() -> str:
    """The name of the account; empty if there is none, as in many containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return ""


def notebook(namespace: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> str:
    """The notebook's file, if its front end says it; empty in a terminal or a script.

    VS Code writes it into the notebook, Jupyter's server gives it to the kernel (and ipykernel to the notebook).
    """
    names = (namespace.get("__vsc_ipynb_file__"), namespace.get("__session__"), environ.get("JPY_SESSION_NAME"))
    return next((name for name in names if isinstance(name, str) and name), "")


if sys.platform == "win32":

    def _alive(pid: int) -> bool:
        import ctypes  # noqa: PLC0415 - only there

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
