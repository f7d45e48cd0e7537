"""Parses control lines: `gate EXPR else ACTION`, `until EXPR max N`, `verify EXPR`, `approve "question"`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchmagic.errors import Problem, nearest
from orchmagic.language import expression, template
from orchmagic.language.control_words import ACTIONS, CONTROLS
from orchmagic.language.messages import read_messages
from orchmagic.language.scanner import outer_words, uncommented
from orchmagic.language.syntax import Action, Control, Value
from orchmagic.language.template import Message

if TYPE_CHECKING:
    from orchmagic.language.control_words import ActionKind, Keyword
    from orchmagic.language.lines import Block, SourceLine


def read_control(block: Block, word: Keyword, problems: list[Problem]) -> Control:
    """Parses the control line `block.head`, which begins with `word`; appends to `problems`."""
    head, start = block.head, len(word)
    source = uncommented(head.text)[start:]
    messages: tuple[Message, ...] = ()
    action: Action | None = None
    maximum: int | None = None
    if word == "verify":
        messages = read_messages(block.text, problems)
    else:
        _refuse_text(block, word, problems)
    if word == "approve":
        source, action = _split_action(head, source, start, problems)
        if action is not None and action.kind == "ask":
            at = start + len(source)
            problems.append(head.problem(at, "`approve` asks already", "Write `else retry 2` or `else goto STEP`"))
        question = _question(head, start, source, problems, "approve")
        return Control(word, "", action, (Message("user", question),), head.number)
    if word == "gate":
        source, action = _split_action(head, source, start, problems)
    elif word == "until":
        source, maximum = _split_maximum(head, source, start, problems)
    if problem := expression.check(source):
        column = min(start + problem[1], len(head.text))
        problems.append(head.problem(column, problem[0], f"Write `{CONTROLS[word].example}`"))
    return Control(word, source.strip(), action, messages, head.number, maximum)


def _refuse_text(block: Block, word: str, problems: list[Problem]) -> None:
    written = next((line for line in block.text if not line.blank), None)
    if written:
        write = "Delete it, or write the step that it belongs to above it"
        problems.append(written.problem(0, f"text under `{word}`", write))


def _split_action(head: SourceLine, source: str, start: int, problems: list[Problem]) -> tuple[str, Action | None]:
    """Splits into expression and action. If the whole line is a valid expression, its `else` is part of it."""
    if expression.check(source) is None:
        return source, None
    tails = [(at, re.match(r"else\s*(\w*)(.*)", source[at:])) for at in outer_words(source, "else")]
    for at, tail in reversed(tails):
        if tail and (action := ACTIONS.get(tail.group(1))):
            return source[:at], _read_action(head, action.name, tail.group(2), start + at + tail.start(2), problems)
    for at, tail in reversed(tails):
        if tail and expression.check(source[:at]) is None:
            name = tail.group(1)
            found = f"{name!r} is no action" if name else "no action after `else`"
            *forms, last = (f"`{action.example}`" for action in ACTIONS.values())
            write = f"Write {', '.join(forms)} or {last}{nearest(name, ACTIONS)}"
            problems.append(head.problem(start + at + tail.start(1), found, write))
            return source[:at], None
    return source, None


def _read_action(head: SourceLine, kind: ActionKind, source: str, at: int, problems: list[Problem]) -> Action | None:
    argument = source.strip()
    if kind == "retry":
        if times := _count(argument):
            return Action(kind, times)
        problems.append(head.problem(at, f"`retry` needs a number, not {argument!r}", "Write `else retry 2`"))
        return None
    if kind == "goto":
        if argument.isidentifier():
            return Action(kind, argument)
        problems.append(head.problem(at, f"`goto` needs a step, not {argument!r}", "Write `else goto STEP`"))
        return None
    if kind == "ask":
        return Action(kind, _question(head, at, source, problems, "else ask"))
    why = _text(source)
    if why is None:
        problems.append(head.problem(at, "`stop` needs a reason in quotes", 'Write `else stop "why"`'))
    return Action(kind, why or "")


def _question(head: SourceLine, at: int, source: str, problems: list[Problem], form: str) -> str:
    """Returns the quoted template in `source`, or "" and a problem."""
    question = _text(source)
    if not question:
        problems.append(head.problem(at, "no question in quotes", f'Write `{form} "Is this right?"`'))
        return ""
    if problem := template.check(question):
        problems.append(head.problem(at, problem[0], "Write `{{ name }}` for a value"))
    return question


def _text(source: str) -> str | None:
    try:
        literal = Value(source.strip()).literal
    except ValueError:
        return None
    return literal if isinstance(literal, str) else None


def _split_maximum(head: SourceLine, source: str, start: int, problems: list[Problem]) -> tuple[str, int | None]:
    """Splits into expression and bound: `max 4` is the bound, `max(a, b)` a call in the expression."""
    words = [at for at in outer_words(source, "max") if not source[at + 3 :].lstrip().startswith("(")]
    if not words or expression.check(source) is None:
        return source, None
    at = words[-1]
    maximum = _count(source[at + 3 :])
    if maximum is None:
        found = f"`max` needs a number, not {source[at + 3 :].strip()!r}"
        problems.append(head.problem(start + at, found, f"Write `{CONTROLS['until'].example}`"))
    return source[:at], maximum


def _count(source: str) -> int | None:
    """Parses a whole number, 1 or more; None if it is not one."""
    return int(source) if re.fullmatch(r"\s*[0-9]{1,6}\s*", source) and int(source) else None
