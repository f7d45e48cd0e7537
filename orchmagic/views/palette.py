"""The colors of the static views, and their contrast; `labextension/style/palette.css` has two for each, by theme.

The hues are those of the Okabe-Ito set, which color-blind people can tell apart. No view uses color as the only sign.
"""

from __future__ import annotations

LIGHT = {
    "call": "#0072b2", "code": "#007a5a", "tool": "#a65f00", "wait": "#a3407f", "failed": "#c04a00", "grey": "#767676",
}  # fmt: skip
"""The colors of a light page, by tone: text has a contrast of at least 4.5 to white."""

DARK = {
    "call": "#56b4e9", "code": "#2bc79a", "tool": "#e69f00", "wait": "#e39ac7", "failed": "#ff8a5c", "grey": "#9e9e9e",
}  # fmt: skip
"""The colors of a dark page, by tone: text has a contrast of at least 7.0 to JupyterLab's near-black."""

BLUE, GREEN, ORANGE, PINK, RED, GREY = LIGHT.values()
"""The colors of bars where the page is unknown: at least 3.0 to white and to near-black."""

FIGURE_TEXT, FIGURE_FAILED = "#797979", "#c95900"
"""Text in figures, whose page is unknown: the best contrast to white and to near-black at once, 4.3."""

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
_TONES = {"doubt": "tool"}  # amber


def toned(tone: str) -> str:
    """Return CSS of a text in saved HTML, whose page is unknown: half the tone, half the page's own text color.

    Where a page does not know `color-mix`, or strips styles, the text keeps the page's color.
    """
    return f"color:color-mix(in srgb,{LIGHT[_TONES.get(tone, tone)]} 50%,currentColor)"


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
