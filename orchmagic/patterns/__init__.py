"""The registry of patterns: each file here (or installed entry point) defines one cell magic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from orchmagic.core.plugins import Registry

if TYPE_CHECKING:  # listing patterns must not import what `build` needs
    from orchmagic.graph.model import Graph
    from orchmagic.language.cell import Cell
    from orchmagic.language.control_words import Keyword
    from orchmagic.language.magic_line import Option, RunOptions
    from orchmagic.language.step_options import StepOption


@dataclass(frozen=True, slots=True)
class Pattern:
    """The definition of a pattern, one per pattern file.

    `build(cell, options, namespace)` lowers the cell to a Graph or raises a CellError with all problems.
    `dollars` and `seconds` are the usual range of one run (low, high), from published figures of Q2 2026 for
    hosted models: illustrative, not a promise. `one_prompt`: the whole body is the prompt. `more` is Markdown that
    is added to its documentation page. `options` are magic-line options besides the common ones; `step_options`
    are all options of its steps, `controls` its control lines.
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
    step_options: tuple[StepOption, ...] = field(
        default_factory=lambda: import_module("orchmagic.language.step_options").STEP_OPTIONS
    )
    controls: tuple[Keyword, ...] = ()
    one_prompt: bool = False
    more: str = ""


PATTERNS: Registry[Pattern] = Registry("orchmagic.patterns", "pattern", Pattern)
