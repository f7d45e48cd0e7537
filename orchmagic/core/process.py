"""Which process did it, and does it still live? A pid alone is not enough: containers give it out again."""

from __future__ import annotations

import os
import platform
import sys
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is written down. `life` is new in each one, so that a pid that comes again is no other's."""

    pid: int
    host: str
    life: str

    @property
    def gone(self) -> bool:
        """Whether it has surely ended; of another machine's process nobody here can say."""
        here = this()
        if self.host != here.host:
            return False
        if self.pid == here.pid:
            return self.life != here.life
        return self.pid <= 0 or not _alive(self.pid)


_LIFE = uuid.uuid4().hex


def this() -> Process:
    """The process that asks (a fork has a pid of its own, and so is another one)."""
    return Process(os.getpid(), platform.node(), f"{_LIFE}-{os.getpid()}")


if sys.platform == "win32":

    def _alive(pid: int) -> bool:
        import ctypes  # noqa: PLC0415 - only there

        found, code = ctypes.windll.kernel32.OpenProcess(0x1000, 0, pid), ctypes.c_ulong()
        if not found:
            return False
        ctypes.windll.kernel32.GetExitCodeProcess(found, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(found)
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
