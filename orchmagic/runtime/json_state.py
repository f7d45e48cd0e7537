"""Converts values to plain JSON for the state of a run: inputs, results of code, a person's answers."""

from __future__ import annotations

from typing import Any

from orchmagic.core.portable import in_order, table_rows
from orchmagic.errors import InputError
from orchmagic.models import images


def as_json(value: object, name: str) -> Any:
    """Converts a value to plain JSON.

    Raises:
        InputError: it is not JSON serialisable; names the value and its type.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if (image := images.encode(value)) is not None:
        return image
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

    if (odd := _odd_key(value)) is not None:
        raise InputError(f"{name!r} has the key {odd!r}, and keys in JSON are text: write {str(odd)!r}")
    try:
        return to_jsonable_python(in_order(table_rows(value)), fallback=images.encoded)
    except UnicodeDecodeError:  # bytes that are not UTF-8
        return _with_images(value, name)
    except (PydanticSerializationError, ValueError, RecursionError):
        raise InputError(
            f"{name!r} is of type {type(value).__name__}, which is not JSON: pass text, numbers, lists, dicts or "
            "records, or use it inside a notebook function"
        ) from None


def _odd_key(value: object) -> object:
    """The first dict key that is not a str, which JSON would convert silently; None without one."""
    if isinstance(value, dict):
        odd = next((k for k in value if not isinstance(k, str) and not hasattr(k, "value")), None)
        if odd is not None:
            return odd
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((odd for item in value if (odd := _odd_key(item)) is not None), None)
    return None


def _with_images(value: object, name: str) -> Any:
    if isinstance(value, dict):
        return {str(k): _with_images(v, name) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_images(v, name) for v in value]
    if isinstance(value, bytes) and images.encode(value) is None:
        raise InputError(f"{name!r} holds bytes that are no image, which is not JSON: decode them, or pass text")
    return as_json(value, name)
