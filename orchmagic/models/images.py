"""Converts images between their forms: JSON in the state of a run, a message part in a prompt, a label in a trace.

as a value     a PIL image, a matplotlib figure, IPython's Image, the bytes of a PNG, JPEG, GIF or WebP, or a
               pathlib.Path to one
in the state   {"image": "image/png", "data": base64}
in a prompt    `{{ photo }}` marks where the image is sent; the text around it keeps its order
"""

from __future__ import annotations

import base64
import io
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchmagic.errors import InputError

_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})
_LARGEST = 20_000_000  # bytes; endpoints accept no more
_KEYS = {"image", "data"}
_SIGN = f"\uf8ff{secrets.token_hex(8)}\uf8ff"  # random in each process, so no text can contain it
_MARK = re.compile(f"{_SIGN}([^,]+),([^\uf8ff]*){_SIGN}")


class Image:
    """An image in templates and expressions; `kind` is its MIME type, `data` its bytes in base64.

    Not a dataclass, because prompts show those as JSON.
    """

    def __init__(self, kind: str, data: str) -> None:
        self.kind = kind
        self.data = data

    def __str__(self) -> str:
        return f"{_SIGN}{self.kind},{self.data}{_SIGN}"

    def __repr__(self) -> str:
        return _words(self.kind, self.data)


def encode(value: object) -> dict[str, str] | None:
    """Convert an image to `{"image": MIME type, "data": base64}`; None if `value` is not an image.

    Raises:
        InputError: the image is too large, unreadable or of an unknown format.
    """
    if isinstance(value, Image):
        return {"image": value.kind, "data": value.data}
    if value is None or isinstance(value, str | int | float | list | dict):
        return None
    raw = _bytes(value)
    if raw is None:
        return None
    kind = next((k for signature, k in _SIGNATURES.items() if raw.startswith(signature)), None)
    if kind is None:
        if isinstance(value, bytes):
            return None
        raise InputError("the image is of no known format: pass PNG, JPEG, GIF or WebP")
    if len(raw) > _LARGEST:
        raise InputError(
            f"the image has {len(raw) / 1e6:.0f} MB, at most {_LARGEST / 1e6:.0f} MB can be sent: shrink it"
        )
    return {"image": kind, "data": base64.b64encode(raw).decode("ascii")}


def encoded(value: object) -> dict[str, str]:
    """Convert an image to JSON, as the fallback of a JSON encoder.

    Raises:
        ValueError: `value` is not an image.
    """
    image = encode(value)
    if image is None:
        raise ValueError(f"{type(value).__name__} is not JSON")
    return image


def _bytes(value: object) -> bytes | None:
    """The bytes of an image; None if `value` is of no supported type."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Path):
        if value.suffix.lower() not in _SUFFIXES:
            return None
        try:
            return value.read_bytes()
        except OSError as error:
            raise InputError(f"the image {value} cannot be read: {error.strerror or error}") from None
    module = type(value).__module__.partition(".")[0]
    target = io.BytesIO()
    if module == "PIL" and hasattr(value, "save"):
        value.save(target, "PNG")
        return target.getvalue()
    if module == "matplotlib" and hasattr(value, "savefig"):
        value.savefig(target, format="png", bbox_inches="tight")
        return target.getvalue()
    data = getattr(value, "data", None) if module == "IPython" and type(value).__name__ == "Image" else None
    return data if isinstance(data, bytes) else None


def seen(value: Any) -> Any:
    """Replace the images in a JSON value by Image objects."""
    if isinstance(value, dict):
        if value.keys() == _KEYS and str(value["image"]).startswith("image/"):
            return Image(str(value["image"]), str(value["data"]))
        return {k: seen(v) for k, v in value.items()}
    return [seen(v) for v in value] if isinstance(value, list) else value


def among(value: Any) -> bool:
    """Whether a JSON value contains an image."""
    if isinstance(value, dict):
        return value.keys() == _KEYS or any(among(v) for v in value.values())
    return isinstance(value, list) and any(among(v) for v in value)


def content(rendered: str) -> str | list[dict[str, Any]]:
    """Convert a filled-in prompt to message content: text, or a list of parts if it has images."""
    if _SIGN not in rendered:
        return rendered
    parts: list[dict[str, Any]] = []
    at = 0
    for match in _MARK.finditer(rendered):
        parts += _text(rendered[at : match.start()])
        parts.append({"type": "image_url", "image_url": {"url": f"data:{match[1]};base64,{match[2]}"}})
        at = match.end()
    return [*parts, *_text(rendered[at:])] if parts else rendered


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text.strip() else []


def inside(messages: Sequence[Mapping[str, Any]]) -> int:
    """The number of images in the messages."""
    contents = [m.get("content") for m in messages]
    return sum(part.get("type") == "image_url" for c in contents if isinstance(c, list) for part in c)


def describe_images(value: Any) -> Any:
    """Replace each image by a short text with its type and size, for traces."""
    match value:
        case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith("data:"):
            kind, _, data = url.removeprefix("data:").partition(";base64,")
            return {"type": "text", "text": _words(kind, data)}
        case {"image": str(kind), "data": str(data)} if len(value) == len(_KEYS):
            return _words(kind, data)
        case dict():
            return {k: describe_images(v) for k, v in value.items()}
        case list() | tuple():
            return [describe_images(v) for v in value]
    return value


def _words(kind: str, data: str) -> str:
    return f"[{kind}, {len(data) * 3 / 4 / 1000:.0f} kB]"
