"""The colors of all views, and their contrast; `labextension/style/palette.css` has the same colors.

The hues are those of the Okabe-Ito set, which color-blind people can tell apart. Their lightness contrasts with white
and with near-black, since a saved figure is shown in light and dark themes. No view uses color as the only sign.
"""

from __future__ import annotations

BLUE, GREEN, ORANGE, PINK = "#0072b2", "#009e73", "#b87a00", "#cc79a7"
RED = "#c95900"
"""Failures."""

GREY = "#797979"
"""Text in figures and minor marks. It has the best contrast to white and to near-black at once: 4.3:1 each."""

NOW = "#1a8ad4"
"""Parts that are running now."""

PAPER, INK = "#ffffff", "#000000"

RUNS = (BLUE, ORANGE, GREEN, PINK, "#7a5cc9", "#8c7a52")
"""The runs of a comparison, in order."""

_STATUSES = {"failed": RED, "skipped": GREY, "cancelled": GREY, "rejected": GREY, "waiting": PINK}
_KINDS = {
    "call": BLUE, "item": BLUE, "vote": BLUE, "ask": BLUE, "tools": ORANGE, "tool": ORANGE, "approve": PINK,
    "sub": GREY, "more": GREY,
}  # fmt: skip
FAILED_TEXT = f"color:{RED};color:color-mix(in srgb,{RED} 80%,currentColor)"
"""CSS of error texts: closer to the page's text color than RED, since text needs more contrast than marks."""


def span_color(kind: str, status: str) -> str:
    """Return the color of a span's bar: by status if it has a color of its own, else by kind."""
    return _STATUSES.get(status) or _KINDS.get(kind, GREEN)


def translucent(color: str, opacity: float) -> str:
    """Return the color as CSS with `opacity` 0..1."""
    red, green, blue = _channels(color)
    return f"rgba({red},{green},{blue},{opacity:g})"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors as defined by WCAG 2, 1..21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def text_on(color: str) -> str:
    """Return white or black, whichever has more contrast to `color`."""
    return max(PAPER, INK, key=lambda ink: contrast(ink, color))


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if (c := n / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for n in _channels(color)]  # noqa: PLR2004 - constants of sRGB
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
