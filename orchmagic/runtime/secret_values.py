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
_MOST = 2_000  # values that are looked at: the variables first, then what is in them
_WIDEST = 100  # elements of a list, entries of a dict
_HISTORY = {"In", "Out"}
_PLAIN = {str, int, float, bool, type(None)}


def secrets_in(namespace: Mapping[str, object]) -> Iterator[str]:
    """The texts of the secrets among the variables, and in their lists, dicts, models and dataclasses."""
    variables = [v for n, v in [*namespace.items()] if not n.startswith("_") and n not in _HISTORY]
    waiting: deque[Any] = deque(variables)
    for _ in range(min(len(waiting) + _MOST, 10 * _MOST)):
        if not waiting:
            return
        value = waiting.popleft()
        if type(value) in _PLAIN:
            continue
        with suppress(Exception), contained():  # classes of the notebook
            if callable(getattr(type(value), "get_secret_value", None)):
                yield from _texts(value.get_secret_value())
            elif not isinstance(value, type):
                waiting.extend(islice(_parts(value), _WIDEST))


def _texts(secret: object) -> Iterator[str]:
    if isinstance(secret, str):
        yield secret
    elif isinstance(secret, bytes):
        yield secret.decode("utf-8", "ignore")


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from islice(value.values(), _WIDEST)
    elif type(value) in {list, tuple}:
        yield from value[:_WIDEST]
    elif hasattr(type(value), "model_fields") or is_dataclass(value):
        yield from vars(value).values()
