"""Prints the help that a cell asks for with `--help`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def help_printed() -> Iterator[None]:
    """Prints requested help. An OrchError passes: IPython shows its message, and the cell counts as failed."""
    from orchmagic.language.magic_line import HelpRequested  # noqa: PLC0415 - `%load_ext` stays fast

    try:
        yield
    except HelpRequested as asked:
        print(asked.text)  # noqa: T201 - what the user asked to see
