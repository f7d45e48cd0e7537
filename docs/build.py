"""Writes what is made from the code: a page for each pattern and each rule of `%orch lint`, one for the options of
steps, docs/settings.md and the traits of `%config`.

`--check` only says what has drifted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from orchmagic.core import limits
from orchmagic.core.settings import PREFIX, Settings
from orchmagic.graph.draw import mermaid
from orchmagic.graph.standard_types import STANDARD_TYPES
from orchmagic.language.cell import Step, parse
from orchmagic.language.control_words import ACTIONS, CONTROLS
from orchmagic.language.magic_line import Option, base_options, parse_options
from orchmagic.language.step_options import STEP_OPTIONS, StepOption
from orchmagic.lint.linter import rules
from orchmagic.lint.rule import LintRule
from orchmagic.patterns import PATTERNS, Pattern

ROOT = Path(__file__).parent.parent
FOLDER = "docs/patterns"
LINT = "docs/lint"
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
    *((name, row.help) for name, row in STANDARD_TYPES.items()),
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

{standard} need no import, here and in expressions: `gate extract.due >= date(2026, 1, 1)`.
Values of `name = expression` lines and inputs are JSON, so a date among them is text there.

## Control lines

{controls}

## What a gate does when it is false

{actions}
"""

RULES = """\
# Rules of `%orch lint`

<!-- Written by `make docs` from orchmagic/lint/rulebook/: change it there. -->

`%orch lint` checks the orchestrations of a kernel, `%orch lint triage` one of them. A finding is a line: the cell and
the line in it, the rule, what was found, what to write. No model is called. `%orch lint triage fix` writes a new cell
with what can be mended by itself.

Rules with figures (OM101 and OM201 to OM207) read the latest 200 runs of the cell's present text. Runs on the same
input count once. They say nothing below the number of runs that their page names. OM301 to OM305 read
what `%%evaluate` and `orchmagic.evaluate` measured, kept beside the run history.

`python -m orchmagic lint NOTEBOOK.ipynb` checks a file without running it: functions and classes of its cells are
replaced by stand-ins. `--format json` is for programs, `--format github` for annotations of a pull request. It ends
with 1 if it finds something, or an orchestration that cannot be read, and with 2 if the file cannot be read.

A rule is ignored with a reason: in a cell by `# orch: ignore OM105 only one model is allowed here` at the start of a
line (in every pattern but `%%react`, whose text is one prompt), in a project by

```toml
[tool.orchmagic.lint]
ignore = ["OM104 our gateway fails over by itself"]
```

| rule | it finds |
|---|---|
{rows}
"""
SETTINGS = """\
# Settings

<!-- Written by `make docs` from orchmagic/core/settings.py: change it there. -->

What holds for every cell unless the cell says otherwise. Three places set it; the most local one wins, field by field:

| place | example |
|---|---|
| the notebook | `%config OrchMagic.deadline = "90s"` |
| the machine, as an environment variable | `{prefix}DEADLINE=90s` |
| the project, in the nearest `pyproject.toml`, in the table `[tool.orchmagic]` | `deadline = "90s"` |

A magic line (`--deadline 90s`) and the option of a step (`step(timeout=30)`) win over all three. A wrong value or an
unknown name is one line that says where it stands, what was found and what to write; all of them are told at once.

| setting | what it is | default | may be `none` |
|---|---|---|---|
{rows}

Some settings of a project's files are used only after you have trusted the file: see [trust](trust.md).

## Limits that may be open

{open_limits}
"""
CONFIG = '''\
"""`%config OrchMagic`: the settings that a notebook can change for itself, as traits with help texts.

Written by `make docs` from the fields of core/settings.py: change them there. Nothing of Pydantic is imported here, so
that `%load_ext` stays fast: values are checked when the settings are read.
"""

from __future__ import annotations

from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool
from traitlets.config import Configurable


class OrchMagic(Configurable):
    """Defaults of all cells of this notebook; a magic line still overrides them. None: not set here."""

{traits}
    live = Bool(True, help="show each step while a cell runs").tag(config=True)

    def chosen(self) -> dict[str, Any]:
        """The settings that were set here, as they were written."""
        values = {{name: getattr(self, name) for name in self.trait_names(config=True) if name != "live"}}
        return {{name: value for name, value in values.items() if value is not None and value != ""}}
'''


def generated() -> dict[str, str]:
    """Path of a file -> its text, for all that is generated."""
    return {f"{FOLDER}/{name}": text for name, text in pages().items()} | {
        **{f"{LINT}/{name}": text for name, text in lint_pages().items()},
        "docs/settings.md": settings_page(),
        "orchmagic/notebook/config.py": config_module(),
    }


def settings_page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory else shown(field.default)  # a folder of the user's
        is_open = "yes" if type(None) in getattr(field.annotation, "__args__", ()) else ""
        rows.append(f"| `{name}` | {field.description} | {default} | {is_open} |")
    docstring = limits.__doc__ or ""
    return SETTINGS.format(prefix=PREFIX, rows="\n".join(rows), open_limits=docstring.partition("\n\n")[2].strip())


def shown(default: object) -> str:
    if default is None or default in ((), {}, ""):
        return "none" if default is None else ""
    return f"`{default}`" if isinstance(default, str | int | float) else str(default)


def config_module() -> str:
    traits = (
        f'    {name} = AnyTrait(help="{field.description}").tag(config=True)'
        for name, field in Settings.model_fields.items()
    )
    return CONFIG.format(traits="\n".join(traits))


def pages() -> dict[str, str]:
    """File name -> text, for the pages of the patterns."""
    patterns = sorted(PATTERNS, key=lambda p: p.name)
    rows = "\n".join(f"| [`%%{p.name}`]({p.name}.md) | {p.summary} | {usual(p)} |" for p in patterns)
    index = INDEX.format(note=NOTE, rows=rows, footnote=FOOTNOTE)
    return {"README.md": index, "steps.md": steps_page()} | {f"{p.name}.md": page(p) for p in patterns}


def lint_pages() -> dict[str, str]:
    """File name -> text, for the rules of `%orch lint`."""
    rows = "\n".join(f"| [{r.id} {r.name}]({r.id}.md) | {about(r).partition(chr(10))[0]} |" for r in rules())
    note = "<!-- Written by `make docs` from orchmagic/lint/rulebook/: change it there. -->"
    return {"README.md": RULES.format(rows=rows)} | {
        f"{r.id}.md": f"# {r.id} {r.name}\n\n{note}\n\n{about(r)}\n" for r in rules()
    }


def about(rule: LintRule) -> str:
    """The docstring of the rule's module."""
    return (import_module(rule.check.__module__).__doc__ or "").strip()


def steps_page() -> str:
    return STEPS.format(
        note=NOTE,
        options=option_table(STEP_OPTIONS),
        outputs=table("output", OUTPUTS),
        standard=", ".join(f"`{name}`" for name in STANDARD_TYPES),
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
        base=line_table(base_options(p.options)),
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
    """Paths of files that are not what the code says: changed, missing, or left over."""
    wanted = generated()
    pages = [*(ROOT / FOLDER).glob("*.md"), *(ROOT / LINT).glob("*.md")]
    paths = {path.relative_to(ROOT).as_posix() for path in pages} | wanted.keys()
    there = {path: (ROOT / path).read_text(encoding="utf-8") for path in paths if (ROOT / path).is_file()}
    return sorted(path for path in paths if wanted.get(path) != there.get(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file has drifted")
    paths = drifted()
    if parser.parse_args().check:
        for path in paths:
            print(f"{path} has drifted: make docs", file=sys.stderr)
        return 1 if paths else 0
    for folder in (FOLDER, LINT):
        (ROOT / folder).mkdir(exist_ok=True)
    wanted = generated()
    for path in paths:
        if path in wanted:
            (ROOT / path).write_text(wanted[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
    print(f"{len(wanted)} files, {len(paths)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
