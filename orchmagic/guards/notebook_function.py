"""A notebook function as a guard: `def no_codenames(text): return re.findall("Project [A-Z]+", text)`.

It returns nothing (or False) when all is well; True for the whole text; a text or a list of them, each a part to take
out; or a list of (start, end). It is asked in a thread, so it may be slow, and may ask a model.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from orchmagic.guards import Finding


class Own:
    """Raises what the function raises; who asks treats that as found."""

    slow = True

    def __init__(self, name: str, function: Callable[..., Any], argument: str | None) -> None:
        if argument is not None:
            raise ValueError(f"a function takes no argument here: write {name}=…")
        if inspect.iscoroutinefunction(function):
            raise ValueError(f"{name} is async: write a plain function, it is asked in a thread")
        self._name = name
        self._function = function

    def find(self, text: str) -> list[Finding]:
        found = self._function(text)
        if inspect.iscoroutine(found):
            found.close()
            raise TypeError(f"{self._name} gives a coroutine: write a plain function, it is asked in a thread")
        if found is None or found is False:
            return []
        if found is True:
            return [Finding(0, len(text), self._name)]
        parts = [found] if isinstance(found, str) else list(found)
        return [Finding(start, end, self._name) for part in parts for start, end in _spans(part, text)]


def _spans(part: object, text: str) -> Iterator[tuple[int, int]]:
    if isinstance(part, str):
        places = [m.span() for m in re.finditer(re.escape(part), text)] if part else []
        yield from places or [(0, len(text))] * bool(part)  # a word for what is wrong, not a part of the text
    elif isinstance(part, tuple) and len(part) == 2 and all(isinstance(n, int) for n in part):  # noqa: PLR2004 - a pair
        yield part
    else:
        raise TypeError(f"a guard returns None, True, text or (start, end), not {type(part).__name__}")
