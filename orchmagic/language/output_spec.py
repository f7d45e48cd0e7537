"""What a step must return: the part of its header behind `->`, as data.

(nothing), str          TEXT      free text
score: float, why: str  fields    an object with these attributes
list[str], "a" | "b"    value     one JSON value (asked for as {"value": ...})
Ticket                  value     a Pydantic model, dataclass or Enum of the notebook
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Field:
    """One named output; `annotation` is Python source (`"low" | "high"` is normalised to `Literal[...]`)."""

    name: str
    annotation: str


@dataclass(frozen=True, slots=True)
class Output:
    """`fields` is set for kind "fields", `annotation` for kind "value"; "text" needs neither."""

    kind: Literal["text", "fields", "value"]
    fields: tuple[Field, ...] = ()
    annotation: str = ""


TEXT = Output("text")
