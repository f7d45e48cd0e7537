"""Format numbers, times, money and values as text, the same in every view."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from orchmagic.core.text_format import counted, cut_note, shorten
from orchmagic.trace.events import Usage

KINDS = {
    "call": "model call", "ask": "model call", "code": "code", "gate": "check", "tools": "tools", "tool": "tool call",
    "approve": "approval", "sub": "inner run", "item": "row", "vote": "vote", "attempt": "attempt",
}  # fmt: skip
"""What people call each kind of span."""
_SIDES = {"tool": ("Arguments", "Result"), "tools": ("Arguments", "Result")} | dict.fromkeys(
    ("call", "ask", "vote"), ("Prompt", "Reply")
)
BLOCK = (  # attributes of our HTML; the classes stop MathJax from reading "$1 and $2" as a formula
    'class="tex2jax_ignore mathjax_ignore" '
    'style="font:13px system-ui,sans-serif;line-height:1.5;overflow-wrap:break-word"'
)
# characters allowed above the limit: a text truncated in a saved record ends in a note of its length
_SLACK = 40
_LINES = 40  # above this, JSON is written on one line
_MINUTE = 60
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]"
)

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")


def sides(kind: str) -> tuple[str, str]:
    """What goes into a span of this kind and what comes out of it: Prompt and Reply, Arguments and Result, …"""
    return _SIDES.get(kind, ("Input", "Output"))


def seconds(value: float) -> str:
    """`12 ms`, `3.4 s`, `2 min 5 s`."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    return f"{int(value // _MINUTE)} min {value % _MINUTE:.0f} s"


def money(value: float | None, unpriced: int = 0) -> str:
    """`$0.0042`; with `unpriced` calls `$0.0042, plus 2 calls without a price` or `No price known (2 calls)`."""
    calls = counted(unpriced, "call")
    if value is None or (unpriced and not value):
        return f"No price known ({calls})" if unpriced else "No price known"
    if unpriced:
        return f"{money(value)}, plus {calls} without a price"
    if value == 0:
        return "$0"
    if value < 1e-6:  # noqa: PLR2004 - no price is that small
        return "<$0.000001"
    if value >= 1:
        return f"${value:,.2f}"
    return "$" + f"{value:.{4 if value >= 0.001 else 6}f}".rstrip("0").ljust(4, "0")  # noqa: PLR2004 - a tenth of a cent


def tokens(usage: Usage) -> str:
    """`1,234`, or `~1,234` if the endpoint sent no counts."""
    return f"{'~' * usage.estimated}{usage.total:,}"


def said(value: Any) -> Any:
    """Return messages as `role: content` lines, a lone one of the user as its content; any other value unchanged."""
    if not (isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)):
        return value
    if len(value) == 1 and value[0]["role"] == "user":
        return value[0].get("content")
    return "\n".join(f"{m['role']}: {shown(m.get('content'))}" for m in value)


def shown(value: Any, limit: int = 2_000) -> str:
    """Return a value as text without control characters, truncated at `limit`; a text then states its full length."""
    if value is None:
        return ""
    clean = _CONTROL.sub("\ufffd", value if isinstance(value, str) else _json(value))
    if len(clean) <= limit + _SLACK:
        return clean
    # the full length is known for a text only: parts of other values may be truncated already
    return clean[:limit] + (cut_note(len(clean)) if isinstance(value, str) else "…")


def safe(text: str) -> str:
    """Return HTML for between tags: escaped, without control characters, isolated where it runs from right to left."""
    plain = escape(shown(text), quote=False)
    return f"<bdi>{plain}</bdi>" if _RIGHT_TO_LEFT.search(plain) else plain


def _json(value: Any) -> str:
    """JSON with a line for each entry, or on one line if there are many."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if text.count("\n") <= _LINES else json.dumps(value, ensure_ascii=False, default=str)


def one_line(value: Any, limit: int = 100) -> str:
    """`shown` on one line, shortened to `limit` characters."""
    text = " ".join(shown(value, 10 * limit).split())
    return shorten(text, limit)
