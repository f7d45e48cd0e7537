"""Table of the options of a step, as in `extract(model=small, retry=2)`.

The parser, error messages, completion, `--help`, the docs and JupyterLab's highlighting read this table. A pattern
adds its own rows (`Pattern.step_options`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from orchmagic.core.validators import cache_policy
from orchmagic.language.syntax import Value


@dataclass(frozen=True, slots=True)
class StepOption:
    """One option of a step.

    `read` converts the written value or raises a ValueError. `kind` describes the value, `example` is one.
    `field` is the node's field that takes the value (empty: the option's name); "parameters" means that the value
    is sent in the request body unchanged. `choices` are all allowed values, if there are only a few.
    """

    name: str
    read: Callable[[Value], Any]
    kind: str
    example: str
    help: str
    field: str = ""
    choices: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """Description and example: `a number: temperature=0.2`."""
        return f"{self.kind}: {self.name}={self.example}"

    def value_in(self, options: Mapping[str, Value]) -> Any:
        """Returns the converted value; None if it is missing or invalid (`GraphBuilder.read` reports invalid ones)."""
        try:
            return self.read(options[self.name]) if self.name in options else None
        except (ValueError, TypeError):
            return None


# Read a name (bare or quoted), names (one, or several in brackets), and a Python expression.
word: Callable[[Value], str] = attrgetter("word")
words: Callable[[Value], tuple[str, ...]] = attrgetter("words")
expression: Callable[[Value], str] = attrgetter("expression")


def text(value: Value) -> str:
    """Reads a quoted text."""
    literal = value.literal
    if not isinstance(literal, str):
        raise ValueError(value.source)  # noqa: TRY004 - a wrong value, whatever its type
    return literal


def _number(least: float = 0, most: float = sys.float_info.max, *, whole: bool = False) -> Callable[[Value], Any]:
    """Returns a reader of numbers within these bounds (inclusive)."""

    def read(value: Value) -> Any:
        number = value.literal
        if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
            raise ValueError(value.source)
        if whole and number % 1:
            raise ValueError(value.source)
        return int(number) if whole else number

    return read


def _stops(value: Value) -> tuple[str, ...]:
    texts = value.literal if isinstance(value.literal, list | tuple) else [value.literal]
    if not 1 <= len(texts) <= _STOPS or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(value.source)
    return tuple(texts)


def _effort(value: Value) -> str:
    if value.word not in _EFFORTS:
        raise ValueError(value.source)
    return value.word


def _cache_policy(value: Value) -> str:
    cache_policy(value.word)
    return value.word


_whole = _number(whole=True)
_several = _number(2, whole=True)
_share = _number(most=1)
_STOPS = 4  # most stop texts that endpoints accept
_EFFORTS = ("none", "minimal", "low", "medium", "high")

STEP_OPTIONS = (
    StepOption("model", word, "a model or alias", "large", "the model that is called, instead of the run's"),
    StepOption("fallback", words, "one or more models", "large", "models to try when that one fails"),
    StepOption("temperature", _number(), "a number", "0.2", "how freely the model chooses its words", "parameters"),
    StepOption("top_p", _share, "a number from 0 to 1", "0.9", "only the likeliest words", "parameters"),
    StepOption("seed", _whole, "a whole number", "7", "repeatable replies, if the endpoint can", "parameters"),
    StepOption("stop", _stops, "a quoted text, or a list of at most 4", '"END"', "ends the reply", "parameters"),
    StepOption(
        "reasoning_effort", _effort, "none, minimal, low, medium or high", "low", "how long the model thinks",
        "parameters", _EFFORTS,
    ),
    StepOption("max_tokens", _number(1, whole=True), "a whole number, 1 or more", "300", "most tokens of the reply"),
    StepOption("timeout", _number(sys.float_info.min), "seconds, more than 0", "30", "of one model call"),
    StepOption("retry", _whole, "a whole number", "2", "most further calls for a reply that does not fit"),
    StepOption(
        "cache", _cache_policy, "a time, semantic, exact or off", "1d", "how long its answer may be reused",
        choices=("semantic", "exact", "off"),
    ),
    StepOption("when", expression, "a Python expression", "extract.score > 3", "false: the step is skipped"),
    StepOption("over", expression, "a list, or what gives one", "tickets", "runs the step once per item", "each"),
    StepOption("item", word, "a name for the item", "ticket", "what one item of over= is called", "each"),
    StepOption("votes", _several, "a whole number, 2 or more", "5", "asks this often; the majority wins", "votes"),
    StepOption("by", word, "the output that is compared", "label", "what the votes are compared by", "votes"),
    StepOption("min", _share, "the share that must agree, 0 to 1", "0.6", "below it a fallback decides", "votes"),
    StepOption("run", word, "an orchestration of the notebook", "triage", "runs it instead of a prompt", "graph"),
)  # fmt: skip
CALL_OPTIONS = tuple(o for o in STEP_OPTIONS if o.field not in {"each", "votes", "graph"})
"""Options of a step that is one prompt."""
PARAMETERS = tuple(o for o in CALL_OPTIONS if o.field == "parameters")
"""Options that are sent in the request body unchanged."""
SUBGRAPH_OPTIONS = tuple(o for o in STEP_OPTIONS if o.field in {"each", "graph"} or o.name == "when")
"""Options of a step that runs an orchestration."""


def without(*names: str) -> tuple[StepOption, ...]:
    """Returns all options of a step except the named ones."""
    return tuple(o for o in STEP_OPTIONS if o.name not in names)
