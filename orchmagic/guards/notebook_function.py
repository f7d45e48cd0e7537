"""A notebook function as a guard: `def no_codenames(text): return re.findall("Project [A-Z]+", text)`.

It returns None or False if the text may pass; True to match the whole text; a text, or a list of texts, each a part to
redact; or a list of (start, end). It runs in a thread, so it may be slow, and may call a model.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from orchmagic.guards import Finding


class FunctionGuard:
    """Calls a notebook function. Its errors are not caught here: Guardrails treat an error as a finding."""

    slow = True

    def __init__(self, name: str, function: Callable[..., Any], argument: str | None) -> None:
        if argument is not None:
            raise ValueError(f"a function takes no argument here: write {name}=…")
        if inspect.iscoroutinefunction(function):
            raise ValueError(f"{name} is async: write a plain function, it runs in a thread")
        self._name = name
        self._function = function

    def find(self, text: str) -> list[Finding]:
        result = self._function(text)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(f"{self._name} returns a coroutine: write a plain function, it runs in a thread")
        if result is None or result is False:
            return []
        if result is True:
            return [Finding(0, len(text), self._name)]
        parts = [result] if isinstance(result, str) else list(result)
        return [Finding(start, end, self._name) for part in parts for start, end in _spans(part, text)]


def _spans(part: object, text: str) -> Iterator[tuple[int, int]]:
    if isinstance(part, str):
        matches = [m.span() for m in re.finditer(re.escape(part), text)] if part else []
        yield from matches or [(0, len(text))] * bool(part)  # not a part of the text but a description of the fault
    elif isinstance(part, tuple) and len(part) == 2 and all(isinstance(n, int) for n in part):  # noqa: PLR2004 - a pair
        yield part
    else:
        raise TypeError(f"a guard returns None, True, text or (start, end), not {type(part).__name__}")
