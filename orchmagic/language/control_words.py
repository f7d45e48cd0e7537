"""Tables of the control keywords (`gate`, `until` …) and of the actions after `else`.

The parser, error messages, completion, the docs and JupyterLab's highlighting read these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

Keyword: TypeAlias = Literal["gate", "until", "verify", "approve"]
ActionKind: TypeAlias = Literal["retry", "stop", "goto", "ask"]
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class ControlWord(Generic[Name]):
    """A keyword, an example line and a short description."""

    name: Name
    example: str
    help: str


CONTROLS: dict[str, ControlWord[Keyword]] = {
    row.name: row
    for row in (
        ControlWord[Keyword]("gate", "gate EXPRESSION else retry 2", "goes on only if the expression is true"),
        ControlWord[Keyword]("until", "until score >= 8 max 4", "ends the loop when true, or after this many rounds"),
        ControlWord[Keyword]("verify", "verify EXPRESSION", "an answer is taken only if it is true"),
        ControlWord[Keyword]("approve", 'approve "Send it?"', "a person approves, edits or rejects the step above"),
    )
}
ACTIONS: dict[str, ControlWord[ActionKind]] = {
    row.name: row
    for row in (
        ControlWord[ActionKind]("retry", "else retry 2", "asks the step above again, at most this often"),
        ControlWord[ActionKind]("stop", 'else stop "why"', "ends the run with a reason"),
        ControlWord[ActionKind]("goto", "else goto STEP", "goes on at another step"),
        ControlWord[ActionKind]("ask", 'else ask "question"', "asks a person"),
    )
}
