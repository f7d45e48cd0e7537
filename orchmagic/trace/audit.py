"""The audit log: a line of JSON for each run and each decision, added to a file that many processes share.

It holds who, where, when and why, and what it took; never a prompt, an answer, a person's words, a key or what a guard
found. A line is one `write` to a file that is open for appending, which a local file system keeps in one piece.
"""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from orchmagic.core import process
from orchmagic.errors import SettingsError
from orchmagic.trace import audit_lines
from orchmagic.trace.events import Event
from orchmagic.trace.record import Record
from orchmagic.trace.run_trace import Trace

Note: TypeAlias = Callable[[str], None]

_MODE = 0o600  # of a file that is not there yet; one that is keeps its own
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_TRIES = 3
_OFF = 'write %config OrchMagic.audit = "none"'


class AuditWarning(RuntimeWarning):
    """A line of the audit log could not be written; the run went on."""


class Audit:
    """The log in the file `path`, as it is found from the folder of now; `notebook` names that of the kernel."""

    def __init__(self, path: Path, notebook: Callable[[], str]) -> None:
        self.setting = path
        self.path = path.absolute()  # %cd does not move it
        self._notebook = notebook
        self._user = process.user()
        self._complained = False

    def check(self) -> None:
        """Before a run begins, when refusing it costs nothing.

        Raises:
            SettingsError: nothing can be added to the file.
        """
        try:
            os.close(_opened(self.path))
        except OSError as error:
            raise SettingsError(
                f"audit: no line can be added to {self.path} ({error.strerror or error}), so no run begins: make its "
                f"folder or mend its rights, or {_OFF}"
            ) from None

    def follow(self, trace: Trace) -> None:
        """Write what happens in a run from now on. Its end says so when the log lacks a line of it."""
        trace.listeners.append(partial(self._heard, self._who(trace), trace.remark))

    def ended(self, record: Record) -> None:
        """The end of a run, or that it waits: with what it took in all, earlier lives of it included."""
        self._add(audit_lines.end(record), self._who(record), lambda _: None)

    def wrote(self, trace: Trace, tool: str, write: str, state: str) -> None:
        """A tool that writes began, ended, or was not run again. Called from any thread."""
        line = {"event": "write", "tool": tool, "write": write, "state": state}
        self._add(line, self._who(trace), lambda _: None)

    def _who(self, run: Trace | Record) -> dict[str, Any]:
        here = process.this()
        named = {"run": run.run, "name": run.name, "pattern": run.pattern}
        return {**named, "user": self._user, "notebook": self._notebook(), "host": here.host, "pid": here.pid}

    def _heard(self, who: Mapping[str, Any], note: Note, event: Event) -> None:
        line = audit_lines.line(event)
        if line is not None:
            self._add(line, who, note)

    def _add(self, line: Mapping[str, Any], who: Mapping[str, Any], note: Note) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        try:
            append(self.path, {"at": now, **line, **who})
        except OSError as error:
            note(f"the audit log lacks lines of this run ({error.strerror or error})")
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        """Once a session: a full disk must not flood a notebook."""
        if self._complained:
            return
        self._complained = True
        with suppress(AuditWarning):  # where warnings are errors, too, the run goes on
            problem = (
                f"the audit log {self.path} cannot be written ({error.strerror or error}) and lacks lines from now on"
            )
            warnings.warn(f"{problem}: mend it, or {_OFF}", AuditWarning, stacklevel=2)


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON. The file is opened each time, so that one which was moved away is begun anew.

    Raises:
        OSError: it cannot be written, or not all of it.
    """
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    data = f"{text}\n".encode("utf-8", "backslashreplace")
    file = _opened(path)
    try:
        # where somebody died in the middle of a line, ours went on in it and is written again
        if not any(_alone(file, data) for _ in range(_TRIES)):
            raise OSError(0, "lines run into each other")
    finally:
        os.close(file)


def _alone(file: int, data: bytes) -> bool:
    """Add the line, and tell whether it began one. Asked before, the answer could be another when it is written."""
    if (done := os.write(file, data)) < len(data):
        raise OSError(0, f"{done} of {len(data)} bytes were written")
    start = os.lseek(file, 0, os.SEEK_CUR) - done
    if start == 0:
        return True
    os.lseek(file, start - 1, os.SEEK_SET)  # where is written does not change: that is the end, always
    return os.read(file, 1) == b"\n"


def _opened(path: Path) -> int:
    file = os.open(path, _FLAGS, _MODE)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(0, "it is no file")
    return file
