"""`%orch add`: puts a run into a file of rows to evaluate on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.registry import command, typed_value

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session


@command
def add(session: Session, which: str, file: str, *expected: str) -> str:
    """Add RUN FILE.jsonl NAME=VALUE …: the inputs of a run and what is right, as a row to evaluate on"""
    from orchmagic.runtime.past_rows import add_row  # noqa: PLC0415 - on demand

    for word in expected:
        if not all(word.partition("=")[:2]):
            raise InputError(f"{word!r} is no expected value: write NAME=VALUE, such as severity=high")
    values = {name: typed_value(text) for name, _, text in (word.partition("=") for word in expected)}
    run = pick(session, which)
    if session.services.keys.holds(run.inputs):
        raise InputError(f"an input of run {run.id} holds an API key, which is not written to a file")
    rows, replaced = add_row(Path(file), run.inputs, values)
    return f"{'Replaced' if replaced else 'Added'} the row of {run.id} in {file}: {counted(rows, 'row')}."
