"""The socket for patterns: one file here (or one installed entry point) is one cell magic, nothing else to edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchmagic.core.plugins import Registry
from orchmagic.language.step_options import STEP_OPTIONS, StepOption

if TYPE_CHECKING:  # finding patterns by name must not load what building them needs
    from orchmagic.graph.model import Graph
    from orchmagic.language.cell import Cell
    from orchmagic.language.control_words import Keyword
    from orchmagic.language.magic_line import Option, RunOptions


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a pattern file offers.

    `build(cell, options, namespace)` lowers the cell to a Graph or raises a CellError with all problems.
    `dollars` and `seconds` are the usual range of one run (low, high), from published figures of Q2 2026 for
    hosted models: illustrative, not a promise. `one_prompt`: the whole body is the prompt. `more` is Markdown for
    its page, below what every page has. `options` are those of its magic line beside the common ones;
    `step_options` all that its steps take, `controls` the control lines it has.
    """

    name: str
    summary: str
    when: str
    breaks: str
    dollars: tuple[float, float]
    seconds: tuple[float, float]
    example: str
    build: Callable[[Cell, RunOptions, Mapping[str, object]], Graph]
    options: tuple[Option, ...] = ()
    step_options: tuple[StepOption, ...] = STEP_OPTIONS
    controls: tuple[Keyword, ...] = ()
    one_prompt: bool = False
    more: str = ""


PATTERNS: Registry[Pattern] = Registry("orchmagic.patterns", "pattern", Pattern)
