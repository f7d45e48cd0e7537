"""Writes src/tables.ts: the words of the cell language, from the package. `--check`: has it drifted?"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from orchmagic.evaluation import evaluate_cell, orchtest_cell
from orchmagic.language.control_words import ACTIONS, CONTROLS
from orchmagic.language.magic_line import BASE
from orchmagic.patterns import PATTERNS

FILE = Path(__file__).resolve().parent / "src" / "tables.ts"
NOTE = "/** The words of the cell language. Written by `make docs` from orchmagic/: change them there. */"
_WIDTH = 120  # prettier's printWidth


def tables() -> str:
    """The text of the file."""
    patterns = sorted(PATTERNS, key=lambda p: p.name)
    cells = (evaluate_cell, orchtest_cell)
    options = [*BASE, *(o for p in patterns for o in p.options), *(o for cell in cells for o in cell.OPTIONS)]
    sets = {
        "MAGICS": (*(p.name for p in patterns), *(cell.MAGIC for cell in cells)),
        "PROMPT_MAGICS": (p.name for p in patterns if p.one_prompt),
        "CONTROLS": CONTROLS,
        "EVALUATE_CONTROLS": [evaluate_cell.TARGET],
        "ACTIONS": ACTIONS,
        "STEP_OPTIONS": (option.name for p in patterns for option in p.step_options),
        "SWITCHES": (*(option.flag for option in options if option.kind == "flag"), "--help", "-h"),
    }
    return "\n".join([NOTE, "", *(_set(name, words) for name, words in sets.items()), ""])


def _set(name: str, words: Iterable[str]) -> str:
    quoted = [f"'{word}'" for word in dict.fromkeys(words)]
    line = f"export const {name} = new Set([{', '.join(quoted)}]);"
    return line if len(line) <= _WIDTH else f"export const {name} = new Set([\n  " + ",\n  ".join(quoted) + "\n]);"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(tables(), encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != tables():
        sys.exit("labextension/src/tables.ts is not what the package says: make docs labextension")
