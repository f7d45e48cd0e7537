"""Rows to evaluate on: the inputs and outputs of earlier runs, and files of rows that grow run by run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchmagic.errors import InputError
from orchmagic.runtime.feedback import Feedback
from orchmagic.runtime.fingerprint import digest
from orchmagic.runtime.frames import Row, stream_file
from orchmagic.storage.runs import Store, Stored

_OWN = ("output", "_status", "_run")


def past_rows(store: Store, name: str, last: int = 50) -> list[Row]:
    """The latest runs of an orchestration as rows, oldest first: the inputs, `output`, `_status` and `_run`.

    Of runs with equal inputs only the latest; runs whose inputs were too large to be stored are left out. Where a run
    was judged, rows also have `_feedback` ("right", "wrong" or None) and `expect`: the corrections by step, or None.

    Raises:
        InputError: `last` is no positive number, there is no run of this name, or one that was judged has an input
            `expect`.
    """
    if isinstance(last, bool) or not isinstance(last, int) or last < 1:
        raise InputError(f"last is {last!r}: write a whole number, 1 or more")
    found: dict[str, Row] = {}
    judged: dict[str, Feedback] = {}
    for light in store.runs(limit=last, name=name):
        stored = store.run(light.id)
        row = row_of(store, stored)
        if row is None:
            continue
        key = digest({k: v for k, v in row.items() if k not in _OWN})
        found.setdefault(key, row)
        if said := Feedback.from_json(stored.feedback):
            judged.setdefault(key, said)
    if not found:
        raise InputError(f"the history has no run of {name!r}: %orch runs lists those that are there")
    if judged and any("expect" in row for row in found.values()):
        raise InputError(f"{name} has an input 'expect', where corrections are put: give the input another name")
    for key, row in found.items() if judged else ():
        said = judged.get(key)
        row |= {"_feedback": said and said.verdict, "expect": (said and dict(said.expect)) or None}
    return [*found.values()][::-1]


def row_of(store: Store, stored: Stored) -> Row | None:
    """A run as a row; None if its inputs are no longer there."""
    try:
        inputs = store.inputs(stored)
    except InputError:
        return None
    output = (stored.record or {}).get("output")
    return {**inputs, "output": output, "_status": stored.status, "_run": stored.id}


def add_row(path: Path, inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[int, bool]:
    """Adds a row to a JSONL file: inputs, expected values, and an `id` by the inputs. Equal inputs replace their row.

    Returns the number of rows in the file, and whether one was replaced.

    Raises:
        InputError: the file is no JSONL file, or a line of it cannot be read.
    """
    if path.suffix.lower() != ".jsonl":
        raise InputError(f"{str(path)!r} is no file for rows: its name must end in .jsonl")
    if clash := sorted({*inputs} & {*expected}):
        raise InputError(f"{clash[0]!r} is an input of the run: give the expected value another name")
    row = {"id": digest(dict(inputs))[:12], **inputs, **expected}
    rows = [*stream_file(path)] if path.exists() else []
    kept = [old for old in rows if old.get("id") != row["id"]]
    place = next((i for i, old in enumerate(rows) if old.get("id") == row["id"]), len(rows))
    kept.insert(place, row)
    text = "".join(json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n" for one in kept)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)  # whole, or as it was
    return len(kept), len(kept) == len(rows)
