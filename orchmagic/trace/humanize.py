"""Format numbers, times, money and values as text, the same in every view."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from orchmagic.core.text_format import counted, cut_note, shorten
from orchmagic.trace.events import Usage

MARKS = {
    "done": "✓", "failed": "✗", "skipped": "-", "retried": "↻", "running": "…", "waiting": "?", "cancelled": "■",
    "capped": "◔", "rejected": "⊘",
}  # fmt: skip
DOUBT = "!"
"""The mark of what is done but in doubt: a check that said no, an answer that nobody verified."""
BLOCK = (  # attributes of our HTML; the classes stop MathJax from reading "$1 and $2" as a formula
    'class="tex2jax_ignore mathjax_ignore" '
    'style="font:13px system-ui,sans-serif;line-height:1.5;overflow-wrap:break-word"'
)
# characters allowed above the limit: a text truncated in a saved record ends in a note of its length
_SLACK = 40
_LINES = 40  # above this, JSON is written on one line
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]"
)


def seconds(value: float) -> str:
    """`12 ms`, `3.4 s`, `2 min 5 s`."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    return f"{int(value // _MINUTE)} min {value % _MINUTE:.0f} s"


def money(value: float | None, unpriced: int = 0) -> str:
    """`$0.0042`; `price unknown` for None. With `unpriced` calls the value is a lower bound:
    `at least $0.0042 + unknown`.
    """
    if value is None or (unpriced and not value):
        return "price unknown"
    if unpriced:
        return f"at least {money(value)} + unknown"
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


def spent(cost: float, unpriced: int) -> str:
    """`$0.0042`, `at least $0.0042 + 2 calls of unknown price`, `price unknown (2 calls)`."""
    if not unpriced:
        return money(cost)
    calls = counted(unpriced, "call")
    return f"at least {money(cost)} + {calls} of unknown price" if cost else f"price unknown ({calls})"


def bar(cost: float | None, unpriced: int) -> str:
    """Short label of a cost bar: `$0.0042`, `at least $0.0042`, `unknown`; empty if free."""
    if cost is None or (unpriced and not cost):
        return "unknown"
    return f"at least {money(cost)}" if unpriced else money(cost) if cost else ""


def age(value: float) -> str:
    """The age of a cached answer: `8 s`, `3 min`, `2 h`, `5 d`."""
    for unit, word in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if value >= unit:
            return f"{value / unit:.0f} {word}"
    return f"{value:.0f} s" if value >= 1 else "<1 s"


def said(value: Any) -> Any:
    """Return a list of messages as `role: content` lines; any other value unchanged."""
    messages = isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)
    return "\n".join(f"{m['role']}: {shown(m.get('content'))}" for m in value) if messages else value


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
    """Return HTML: escaped, without control characters, its text direction isolated."""
    return f"<bdi>{escape(shown(text))}</bdi>"


def _json(value: Any) -> str:
    """JSON with a line for each entry, or on one line if there are many."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if text.count("\n") <= _LINES else json.dumps(value, ensure_ascii=False, default=str)


def one_line(value: Any, limit: int = 100) -> str:
    """`shown` on one line, shortened to `limit` characters."""
    text = " ".join(shown(value, 10 * limit).split())
    return shorten(text, limit)
