"""What a person says of a run: right or wrong, which values would have been right, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from orchmagic.errors import InputError, OrchError, nearest
from orchmagic.graph.value_types import ValueTypes
from orchmagic.runtime.json_state import as_json
from orchmagic.trace.record import Record

VERDICTS = ("right", "wrong")
_WRITE = 'write run.feedback("right") or run.feedback("wrong", STEP=what would have been right, note="why")'


@dataclass(frozen=True, slots=True)
class Feedback:
    """`verdict` is "right" or "wrong"; `expect` has, by step, what would have been right (JSON; of a step with fields
    also a part of them); `note` is a reason.
    """

    verdict: str
    expect: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Any) -> Self | None:
        """As it was stored; None where nothing that can be read was."""
        if not isinstance(given, Mapping) or given.get("verdict") not in VERDICTS:
            return None
        expect, note = given.get("expect"), given.get("note")
        return cls(given["verdict"], expect if isinstance(expect, dict) else {}, note if isinstance(note, str) else "")


def checked(
    verdict: object, note: object, corrections: Mapping[str, object], record: Record, kinds: ValueTypes
) -> Feedback:
    """Returns feedback on the run of `record`, whose steps have the types `kinds`.

    Raises:
        InputError: there is no such verdict, or a correction names no step that ran, or does not fit its type.
    """
    if verdict not in VERDICTS:
        found = "a verdict is missing" if verdict is None else f"{verdict!r} is no verdict"
        raise InputError(f"{found}: {_WRITE}")
    if not isinstance(note, str):
        raise InputError(f"note is {note!r}: write a text")
    if corrections and verdict == "right":
        raise InputError(f"a correction of {next(iter(corrections))!r}, and all is right: {_WRITE}")
    values = {span.name: span.output for span in record.steps}
    expect = {step: _fitting(record.name, step, value, values, kinds) for step, value in corrections.items()}
    return Feedback(str(verdict), expect, note.strip())


def _fitting(run: str, step: str, value: object, values: Mapping[str, Any], kinds: ValueTypes) -> Any:
    if step not in values:
        raise InputError(f"no step {step!r} of {run} ran (there are: {', '.join(values)}){nearest(step, values)}")
    given, was = as_json(value, step), values[step]
    whole = given
    if isinstance(given, dict) and isinstance(was, dict):
        if unknown := [name for name in given if name not in was]:
            raise InputError(f"{step} has no {unknown[0]!r} (it has {', '.join(was)}){nearest(unknown[0], was)}")
        whole = {**was, **given}
    if isinstance(was, str) and not isinstance(given, str):
        raise InputError(f"the correction does not fit {step!r}: {given!r} is no text")
    try:
        kinds.accept(step, whole, was)
    except (OrchError, ValueError) as error:
        raise InputError(f"the correction does not fit {step!r}: {' '.join(str(error).split())}") from None
    return given
