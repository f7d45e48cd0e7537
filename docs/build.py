"""Writes docs/patterns/: a page for each pattern, and one for the options of steps. `--check` says what has drifted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from orchmagic.graph.draw import mermaid
from orchmagic.language.cell import Step, parse
from orchmagic.language.control_words import ACTIONS, CONTROLS
from orchmagic.language.magic_line import BASE, Option, parse_options
from orchmagic.language.step_options import STEP_OPTIONS, StepOption
from orchmagic.patterns import PATTERNS, Pattern

FOLDER = Path(__file__).parent / "patterns"
NOTE = "<!-- Written by `make docs` from orchmagic/patterns/ and orchmagic/language/: change it there. -->"
INDEX = """\
# Patterns

{note}

| magic | what it is | usual range of one run\\* |
|---|---|---|
{rows}

\\* {footnote}
"""
FOOTNOTE = "Hosted models, published figures of Q2 2026: illustrative, not a promise. The local model costs nothing."
PAGE = """\
# %%{name}

{note}

{summary}

```text
{example}
```

```mermaid
{picture}
```

**Use it when:** {when}

**It breaks when:** {breaks}

**Usual range of one run:** {usual}\\*

## Options of the magic line

{own}Every pattern also takes:

{base}

{steps}{more}\\* {footnote}
"""
OUTPUTS = (
    ("str", "text; so is a step without an arrow"),
    ("int, float, bool", "a number; true or false"),
    ('"low" | "high"', "one of these labels"),
    ("list[str], dict[str, int], str | None", "lists, dicts, and values that may be missing, of any of these"),
    ("date, datetime", "asked for as ISO text (2026-01-31, 2026-01-31T10:00:00); numbers are refused"),
    ("Decimal", 'asked for as text ("12.10"); a JSON number is taken if it is short enough to be exact'),
    ("Ticket", "a Pydantic model, dataclass or Enum of the notebook"),
)
STEPS = """\
# Steps and control lines

{note}

A step is `name(option=value, ...) -> outputs` with its prompt indented below it. The page of each pattern says which
options and control lines it has.

## Options of a step

{options}

## Outputs of a step

What follows `->` are Python types, or named ones: `score: float, why: str`.

{outputs}

`date`, `datetime` and `Decimal` need no import, here and in expressions: `gate extract.due >= date(2026, 1, 1)`. Values
of `name = expression` lines and inputs are JSON, so a date among them is text there.

## Control lines

{controls}

## What a gate does when it is false

{actions}
"""


def pages() -> dict[str, str]:
    """File name -> text, for the whole folder."""
    patterns = sorted(PATTERNS, key=lambda p: p.name)
    rows = "\n".join(f"| [`%%{p.name}`]({p.name}.md) | {p.summary} | {usual(p)} |" for p in patterns)
    index = INDEX.format(note=NOTE, rows=rows, footnote=FOOTNOTE)
    return {"README.md": index, "steps.md": steps_page()} | {f"{p.name}.md": page(p) for p in patterns}


def steps_page() -> str:
    return STEPS.format(
        note=NOTE,
        options=option_table(STEP_OPTIONS),
        outputs=table("output", OUTPUTS),
        controls=table("control line", ((c.example, c.help) for c in CONTROLS.values())),
        actions=table("action", ((a.example, a.help) for a in ACTIONS.values())),
    )


def page(p: Pattern) -> str:
    return PAGE.format(
        name=p.name,
        note=NOTE,
        summary=p.summary,
        example=p.example.rstrip("\n"),
        picture=picture(p),
        when=p.when,
        breaks=p.breaks,
        usual=usual(p),
        own=line_table(p.options) + "\n\n" if p.options else "",
        base=line_table(BASE),
        steps=steps(p),
        more=p.more + "\n" if p.more else "",
        footnote=FOOTNOTE,
    )


def usual(p: Pattern) -> str:
    return f"${p.dollars[0]:g} to {p.dollars[1]:g}, {p.seconds[0]:g} to {p.seconds[1]:g} s"


def steps(p: Pattern) -> str:
    """Which options and control lines the pattern has."""
    if not p.step_options:
        return ""
    own = [option for option in p.step_options if option not in STEP_OPTIONS]
    missing = [f"`{option.name}=`" for option in STEP_OPTIONS if option not in p.step_options]
    but = f" but {', '.join(missing)}" if missing else ""
    lines = [f"## Options of its steps\n\nThose of [every step](steps.md){but}."]
    lines += [f"Its own:\n\n{option_table(own)}"] if own else []
    words = " and ".join(f"`{name}`" for name in p.controls)
    lines += [f"Control lines: {words} ([what they do](steps.md))."] if words else []
    return "\n\n".join(lines) + "\n\n"


def line_table(options: Iterable[Option]) -> str:
    return table("option", ((o.shown, o.help) for o in options))


def option_table(options: Iterable[StepOption]) -> str:
    return table("option", ((f"{o.name}={o.example}", f"{o.help} ({o.kind})") for o in options))


def table(head: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = (f"| `{escape(shown)}` | {escape(text)} |" for shown, text in rows)
    return "\n".join([f"| {head} | what it does |", "|---|---|", *lines])


def escape(text: str) -> str:
    """A bar inside a cell of a Markdown table, also inside code, would end the cell."""
    return text.replace("|", "\\|")


def picture(p: Pattern) -> str:
    """The graph that the example builds, as Mermaid text."""
    head, _, body = p.example.partition("\n")
    magic, _, line = head.removeprefix("%%").partition(" ")
    options = parse_options(magic, line, p.options)
    cell = parse(magic, line, body, one_prompt=p.one_prompt)
    tools = options.extra.get("tools", ())
    assert isinstance(tools, tuple)
    own = [name for item in cell.items if isinstance(item, Step) and "tools" in item.options
           for name in item.options["tools"].words]  # fmt: skip
    return mermaid(p.build(cell, options, dict.fromkeys((*tools, *own), look_up))).rstrip("\n")


def look_up(text: str) -> str:
    """Stands for the functions of a notebook that an example names."""
    return text


def drifted() -> list[str]:
    """Names of pages that are not what the patterns say: changed, missing, or left over."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page has drifted")
    names = drifted()
    if parser.parse_args().check:
        for name in names:
            print(f"docs/patterns/{name} has drifted: make docs", file=sys.stderr)
        return 1 if names else 0
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for name in names:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    print(f"docs/patterns: {len(wanted)} pages, {len(names)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
