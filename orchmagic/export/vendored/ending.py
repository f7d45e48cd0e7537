"""Code that modules carry where a person may reject a value, or an inner graph may stop; see `call_runtime`."""

from __future__ import annotations


class EndedEarlyError(Exception):
    """The run ends here and has no result; the text says why."""


class RejectedError(EndedEarlyError):
    """A person rejected a value."""


class StoppedError(EndedEarlyError):
    """A check of an inner graph stopped it."""
