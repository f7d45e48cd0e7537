"""What a run answered, shown above its trace: how it ended, the path it took, and the result."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from orchmagic import words
from orchmagic.draw import svg_of
from orchmagic.spans import ENDS
from orchmagic.trace import Record
from orchmagic.views import large

_RED = "#d55e00"


def bundle(record: Record) -> dict[str, Any]:
    """HTML without scripts, and text."""
    html = f'<div style="font:13px system-ui,sans-serif;line-height:1.5">{"".join(_html(record))}</div>'
    return {"text/html": html, "text/plain": "\n".join(_text(record))}


def _html(record: Record) -> Iterator[str]:
    mark = escape(words.MARKS.get(record.status, "·"))
    yield f"<div>{mark} <strong>{safe(words.headline(record))}</strong></div>"
    for line in troubles(record):
        yield f'<div style="color:{_RED};font-weight:600">✗ {safe(line)}</div>'
    if record.reason:
        yield f"<div>{safe(words.one_line(record.reason, 400))}</div>"
    if sum(kind not in ENDS for _, kind in record.picture.nodes) > 1 and not large(record):
        yield f'<div style="margin:6px 0">{svg_of(record.picture)}</div>'
    if record.output is not None:
        yield pre(record.output)
    if record.status == "waiting":
        how = f"<code>%orch resume {safe(record.run)} your answer</code>"
        yield f"<div>Answer with {how}: the run goes on with it.</div>"


def _text(record: Record) -> Iterator[str]:
    yield f"{words.MARKS.get(record.status, '·')} {words.headline(record)}"
    yield from (f"✗ {line}" for line in troubles(record))
    if record.reason:
        yield words.one_line(record.reason, 400)
    if record.output is not None:
        yield f"→ {words.shown(record.output, 1_000)}"
    if record.status == "waiting":
        yield f"Answer with: %orch resume {record.run} your answer (the run goes on with it)"


def troubles(record: Record) -> Iterator[str]:
    """What failed, with the failed step's input."""
    failed = [s for s in record.steps if s.status == "failed"]
    for step in failed:
        yield f"{step.name} failed: {words.one_line(step.error, 400)}"
        yield f"its input: {words.one_line(step.input, 200)}"
    if record.error and not failed:
        yield words.one_line(record.error, 400)


def safe(value: str) -> str:
    """Escaped, without control characters, and isolated from the direction of the text around it."""
    return f"<bdi>{escape(words.shown(value))}</bdi>"


def pre(value: Any) -> str:
    """A value as preformatted, wrapped text."""
    style = "white-space:pre-wrap;word-break:break-word;margin:2px 0 6px"
    return f'<pre style="{style}">{safe(words.shown(value))}</pre>'
