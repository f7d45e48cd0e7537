"""How numbers, times, money and texts are written, the same in every view."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from orchmagic.core.text_format import counted, cut_note, shorten

MARKS = {
    "done": "✓", "failed": "✗", "skipped": "-", "retried": "↻", "running": "…", "waiting": "?", "cancelled": "■",
    "capped": "◔",
}  # fmt: skip
BLOCK = (  # attributes of what is shown as HTML: between two prices a page would else see a formula
    'class="tex2jax_ignore mathjax_ignore" '
    'style="font:13px system-ui,sans-serif;line-height:1.5;overflow-wrap:break-word"'
)
# characters that a text may be over its limit: a saved record holds it cut at that, and a note of its length
_SLACK = 40
_LINES = 40  # of a value that is shown with a line for each entry
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
    """`$0.0042`; unknown is `price unknown`, nothing is `$0`. Where calls are `unpriced` the value is not all of it:
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


def spent(cost: float, unpriced: int) -> str:
    """`$0.0042`, `at least $0.0042 + 2 calls of unknown price`, `price unknown (2 calls)`."""
    if not unpriced:
        return money(cost)
    calls = counted(unpriced, "call")
    return f"at least {money(cost)} + {calls} of unknown price" if cost else f"price unknown ({calls})"


def bar(cost: float | None, unpriced: int) -> str:
    """What stands beside a bar, in little room: `$0.0042`, `at least $0.0042`, `unknown`; nothing where it was free."""
    if cost is None or (unpriced and not cost):
        return "unknown"
    return f"at least {money(cost)}" if unpriced else money(cost) if cost else ""


def age(value: float) -> str:
    """How old a cached answer is: `8 s`, `3 min`, `2 h`, `5 d`."""
    for unit, word in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if value >= unit:
            return f"{value / unit:.0f} {word}"
    return f"{value:.0f} s" if value >= 1 else "<1 s"


def said(value: Any) -> Any:
    """Messages as who said what; anything else as it is."""
    messages = isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)
    return "\n".join(f"{m['role']}: {shown(m.get('content'))}" for m in value) if messages else value


def shown(value: Any, limit: int = 2_000) -> str:
    """A value as readable text without control characters, cut at `limit`; of a text it then says the whole length."""
    if value is None:
        return ""
    clean = _CONTROL.sub("\ufffd", value if isinstance(value, str) else _json(value))
    if len(clean) <= limit + _SLACK:
        return clean
    # parts of a value may be cut already: only of a text is the length known
    return clean[:limit] + (cut_note(len(clean)) if isinstance(value, str) else "…")


def safe(text: str) -> str:
    """HTML: escaped, without control characters, and isolated from the direction of the text around it."""
    return f"<bdi>{escape(shown(text))}</bdi>"


def _json(value: Any) -> str:
    """A line for each entry, where those are few."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if text.count("\n") <= _LINES else json.dumps(value, ensure_ascii=False, default=str)


def one_line(value: Any, limit: int = 100) -> str:
    """The same on one line."""
    text = " ".join(shown(value, 10 * limit).split())
    return shorten(text, limit)
