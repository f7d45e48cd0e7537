"""Write the audit log: one line of JSON per run and per decision, appended to a file that many processes share.

A line holds user, host, time, reason and cost. It never holds a prompt, an answer, a person's words, a key or a guard's
finding. Each line is a single `write` to a file opened for appending, which a local file system does not split.
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

_MODE = 0o600  # for a new file; an existing file keeps its mode
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_TRIES = 3
_OFF = 'write %config OrchMagic.audit = "none"'


class AuditWarning(RuntimeWarning):
    """A line of the audit log could not be written; the run went on."""


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:
        write = f"%cd to one that exists, write a full path, or {_OFF}"
        raise SettingsError(f"audit: {path} is in the kernel's folder, which was deleted: {write}") from None


class Audit:
    """The audit log in file `path` (made absolute here); `notebook` returns the kernel's notebook."""

    def __init__(self, path: Path, notebook: Callable[[], str]) -> None:
        self.setting = path
        self.path = _absolute(path)  # a later %cd must not change it
        self._notebook = notebook
        self._user = process.user()
        self._complained = False

    def check(self) -> None:
        """Check that the file can be appended to; call it before a run starts.

        Raises:
            SettingsError: the file cannot be opened for appending.
        """
        try:
            os.close(_opened(self.path))
        except OSError as error:
            raise SettingsError(
                f"audit: no line can be added to {self.path} ({error.strerror or error}), so no run begins: make its "
                f"folder or mend its rights, or {_OFF}"
            ) from None

    def follow(self, trace: Trace) -> None:
        """Log the decisions of a run from now on. A line that cannot be written becomes a remark of the run."""
        trace.listeners.append(partial(self._heard, self._who(trace), trace.remark))

    def ended(self, record: Record) -> None:
        """Log that a run ended or waits, with its totals (including those from before a resume)."""
        self._add(audit_lines.end(record), self._who(record), lambda _: None)

    def wrote(self, trace: Trace, tool: str, write: str, state: str) -> None:
        """Log a change of `state` of a tool's write. Safe to call from any thread."""
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
        """Warn once per session: a full disk must not flood a notebook."""
        if self._complained:
            return
        self._complained = True
        with suppress(AuditWarning):  # the run goes on even if warnings are errors
            problem = (
                f"the audit log {self.path} cannot be written ({error.strerror or error}) and lacks lines from now on"
            )
            warnings.warn(f"{problem}: mend it, or {_OFF}", AuditWarning, stacklevel=2)


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line of JSON. The file is opened each time, so that a rotated file is created again.

    Raises:
        OSError: the line could not be written completely.
    """
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    data = f"{text}\n".encode("utf-8", "backslashreplace")
    file = _opened(path)
    try:
        # if another process died within a line, ours continued that line: write it again
        if not any(_alone(file, data) for _ in range(_TRIES)):
            raise OSError(0, "lines run into each other")
    finally:
        os.close(file)


def _alone(file: int, data: bytes) -> bool:
    """Append `data`; return whether it starts on a new line. Checking before the write would be a race."""
    if (done := os.write(file, data)) < len(data):
        raise OSError(0, f"{done} of {len(data)} bytes were written")
    start = os.lseek(file, 0, os.SEEK_CUR) - done
    if start == 0:
        return True
    os.lseek(file, start - 1, os.SEEK_SET)  # does not move the write position: O_APPEND
    return os.read(file, 1) == b"\n"


def _opened(path: Path) -> int:
    file = os.open(path, _FLAGS, _MODE)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(0, "it is no file")
    return file
