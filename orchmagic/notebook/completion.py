"""Completion inside pattern cells: options on the magic line, step options, models, steps and notebook names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchmagic.errors import OrchError
from orchmagic.language.control_words import ACTIONS, CONTROLS
from orchmagic.language.magic_line import Option, base_options
from orchmagic.patterns import PATTERNS, Pattern

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext

    from orchmagic.runtime.session import Session

_HEADER = re.compile(r"^([A-Za-z_]\w*)\s*(?:\((.*?)\))?\s*(?:->\s*(.*))?", re.MULTILINE)
_FIELD = re.compile(r"(\w+)\s*:")
_ROW_CELLS = {
    "evaluate": ("orchmagic.evaluation.evaluate_cell", "target"),
    "orchtest": ("orchmagic.evaluation.orchtest_cell", "gate"),
}
"""Cells about rows, with the module of their options and the word that begins a line."""
_WORD = re.compile(r"[\w.%-]*$")


def matches(session: Session, context: CompletionContext) -> dict[str, Any]:
    """Returns completions for IPython (matcher API v2); none outside of our cells."""
    from IPython.core.completer import SimpleCompletion  # noqa: PLC0415 - IPython only

    before = "\n".join(context.full_text.split("\n")[: context.cursor_line + 1])
    line = before.split("\n")[-1][: context.cursor_position]
    words = list(complete(session, context.full_text, context.cursor_line, line))
    return {
        "completions": [SimpleCompletion(text=text, type=kind) for text, kind in words],
        "suppress": bool(words),
        "matched_fragment": _fragment(line),
    }


def complete(session: Session, text: str, number: int, line: str) -> Iterator[tuple[str, str]]:
    """(completion, kind) pairs for `line`, the cursor's line up to the cursor, in the cell `text`."""
    magic = re.match(r"%%(\w+)", text)
    if magic is None:
        return
    if magic[1] in PATTERNS.names():
        pattern = PATTERNS.get(magic[1])
        options = (*base_options(pattern.options), *pattern.options)
        kinds = _magic_line(options, session, line) if number == 0 else _body(pattern, session, text, line)
    elif magic[1] in _ROW_CELLS:
        kinds = _row_cell(magic[1], session, line, first=number == 0)
    else:
        return
    fragment = _fragment(line)
    for word, kind in kinds:
        if word.startswith(fragment) and word != fragment:
            yield word, kind


def _fragment(line: str) -> str:
    word = _WORD.search(line)
    return word[0] if word else ""


def _row_cell(magic: str, session: Session, line: str, *, first: bool) -> Iterator[tuple[str, str]]:
    """Completes `%%evaluate` and `%%orchtest`: orchestrations and their steps, options, the word of a line."""
    module, word = _ROW_CELLS[magic]
    steps = {name: [n.name for n in made.definition.nodes] for name, made in session.defined.items()}
    if first:
        yield from ((name, "function") for name in steps)
        if magic == "orchtest":
            yield from ((f"{name}.{step}", "step") for name, of_it in steps.items() for step in of_it)
        yield from _magic_line(import_module(module).OPTIONS, session, line)
        return
    if line[:1].isspace() and "{{" not in line.rpartition("}}")[2]:
        return  # no completion in the prompt of a judge
    if re.fullmatch(r"\w*", line):
        yield word, "keyword"
    yield from ((step, "step") for of_it in steps.values() for step in of_it)
    yield from _notebook(session)


def _magic_line(options: Sequence[Option], session: Session, line: str) -> Iterator[tuple[str, str]]:
    before = line.split()
    last = before[-2] if before and _fragment(line) and len(before) > 1 else before[-1] if before else ""
    taking = next((o for o in options if o.flag == last), None)
    if taking is None or taking.kind == "flag":
        yield from ((o.flag, "option") for o in options)
    elif last in {"--model", "--models", "--fallback"}:
        yield from _models(session)
    else:
        yield from _notebook(session)


def _body(pattern: Pattern, session: Session, text: str, line: str) -> Iterator[tuple[str, str]]:
    steps = dict(_steps(text))
    dotted = _fragment(line).rpartition(".")
    if dotted[0] in steps:
        yield from ((f"{dotted[0]}.{field}", "property") for field in steps[dotted[0]])
    elif (option := re.search(r"(\w+)=[\w.-]*$", line)) and (values := _values(pattern, session, option[1])):
        yield from values
    elif line[:1].isspace() and "{{" not in line.rpartition("}}")[2]:
        return  # no completion in prompt text
    else:
        yield from _structure(pattern, line)
        yield from ((name, "step") for name in steps)
        yield from _notebook(session)


def _values(pattern: Pattern, session: Session, option: str) -> list[tuple[str, str]]:
    """The possible values of `option=`; [] for an expression, a number or a notebook name."""
    if option in {"model", "fallback"}:
        return list(_models(session))
    return [(word, "value") for o in pattern.step_options if o.name == option for word in o.choices]


def _structure(pattern: Pattern, line: str) -> Iterator[tuple[str, str]]:
    """Completes step options in brackets, gate actions after `else`, and control words elsewhere."""
    control = line.partition(" ")[0] in CONTROLS
    if control and re.search(r"\belse\s+\w*$", line):
        yield from ((word, "keyword") for word in ACTIONS)
    elif not control and line.count("(") > line.count(")") and re.search(r"[(,]\s*\w*$", line):
        yield from ((f"{o.name}=", "option") for o in pattern.step_options)
    elif re.fullmatch(r"\w*", line):
        yield from ((word, "keyword") for word in pattern.controls)


def _steps(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, _, outputs in _HEADER.findall(text.partition("\n")[2]):
        if name not in CONTROLS:
            yield name, tuple(_FIELD.findall(outputs))


def _models(session: Session) -> Iterator[tuple[str, str]]:
    from orchmagic.models.routing.aliases import resolvable  # noqa: PLC0415 - only while completing

    try:
        yield from ((d.alias, "model") for d in resolvable(session.settings, session.services.environ))
    except OrchError:
        return  # invalid settings must not break completion; the run reports them


def _notebook(session: Session) -> Iterable[tuple[str, str]]:
    return ((n, "variable") for n in list(session.services.namespace) if not n.startswith("_"))
