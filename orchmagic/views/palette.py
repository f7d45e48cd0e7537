"""The colors of all views, and how well they read; `labextension/style/palette.css` has the same.

The hues are those of the Okabe-Ito set, so that color-blind people tell them apart. Their lightness stands out on white
and on the near-black of dark themes alike: a saved figure is shown on both. No view tells anything by color alone.
"""

from __future__ import annotations

BLUE, GREEN, ORANGE, PINK = "#0072b2", "#009e73", "#b87a00", "#cc79a7"
RED = "#c95900"
"""Whatever failed."""

GREY = "#797979"
"""Text of the figures, and marks that say little. No color reads better on both grounds: 4.3:1 each."""

NOW = "#1a8ad4"
"""What runs at this moment."""

PAPER, INK = "#ffffff", "#000000"

RUNS = (BLUE, ORANGE, GREEN, PINK, "#7a5cc9", "#8c7a52")
"""The runs of a comparison, in their order."""

_STATUSES = {"failed": RED, "skipped": GREY, "cancelled": GREY, "waiting": PINK}
_KINDS = {
    "call": BLUE, "item": BLUE, "vote": BLUE, "ask": BLUE, "tools": ORANGE, "tool": ORANGE, "approve": PINK,
    "sub": GREY, "more": GREY,
}  # fmt: skip
FAILED_TEXT = f"color:{RED};color:color-mix(in srgb,{RED} 80%,currentColor)"
"""CSS of a failure in words: nearer to the page's own text than the mark is, as text needs more contrast."""


def span_color(kind: str, status: str) -> str:
    """The color of a span's bar: its status, if that is not the usual one, else its kind."""
    return _STATUSES.get(status) or _KINDS.get(kind, GREEN)


def translucent(color: str, opacity: float) -> str:
    """CSS of the color, `opacity` 0..1."""
    red, green, blue = _channels(color)
    return f"rgba({red},{green},{blue},{opacity:g})"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colors as WCAG 2 defines it, 1..21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def text_on(color: str) -> str:
    """White or black: whichever reads better on `color`."""
    return max(PAPER, INK, key=lambda ink: contrast(ink, color))


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if (c := n / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for n in _channels(color)]  # noqa: PLR2004 - constants of sRGB
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
