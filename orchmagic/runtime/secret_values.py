"""Finds the values of pydantic's SecretStr, SecretBytes and Secret in variables of the notebook."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from itertools import islice
from typing import Any

from orchmagic.core.user_code import contained

SHORTEST = 6  # characters of a secret: a shorter one may be part of a word
_MOST = 2_000  # values that are looked at besides the variables
_WIDEST = 100  # elements, entries or fields of a value
_FEWEST = 5  # of each of many values
_DATA = {dict, list, tuple}
_HISTORY = {"In", "Out"}
_PLAIN = {str, int, float, bool, type(None)}


def secrets_in(namespace: Mapping[str, object]) -> set[str]:
    """The texts of the secrets among the variables, and in their models, dataclasses, lists and dicts.

    Fields of models and dataclasses come before elements of lists and dicts, and many large lists share the number of
    elements that are looked at: large data hides no settings and costs no time.
    """
    variables = [v for n, v in [*namespace.items()] if not n.startswith("_") and n not in _HISTORY]
    waiting: deque[Any] = deque(v for v in variables if type(v) not in _PLAIN)
    left = len(waiting) + _MOST
    found: set[str] = set()
    while waiting and left > 0:
        value = waiting.popleft()
        left -= 1
        share = min(_WIDEST, max(_FEWEST, left // (len(waiting) + 1)))
        with suppress(Exception), contained():  # classes of the notebook
            if callable(getattr(type(value), "get_secret_value", None)):
                found.add(_text(value.get_secret_value()))
                continue
            parts = [part for part in islice(_parts(value), share) if type(part) not in _PLAIN]
            waiting.extend(part for part in parts if type(part) in _DATA)
            waiting.extendleft(part for part in parts if type(part) not in _DATA)
            left -= len(parts)
    return found - {""}


def _parts(value: Any) -> Iterator[Any]:
    fields = isinstance(value, dict)
    if not fields and type(value) in _DATA:
        return iter(value)
    if fields or hasattr(type(value), "model_fields") or is_dataclass(type(value)):
        return iter((value if fields else vars(value)).values())
    return iter(())


def _text(secret: Any) -> str:
    if isinstance(secret, bytes):
        return secret.decode("utf-8", "ignore")
    return secret if isinstance(secret, str) else ""
