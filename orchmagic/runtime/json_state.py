"""Converts values to plain JSON for the state of a run: inputs, results of code, a person's answers.

Numbers, columns and tables of numpy, pandas, polars and pyarrow become numbers, lists and lists of rows. An iterator
can be read only once, so it is taken only where it was just made: as the result of an expression.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence
from itertools import islice
from typing import Any

from orchmagic.core.portable import in_order
from orchmagic.core.user_code import contained
from orchmagic.errors import InputError
from orchmagic.models import images
from orchmagic.runtime.foreign_values import foreign, is_missing

MOST = 100_000  # items of an iterator: a longer one is endless, or a batch job
_DEEPEST = 100  # levels of nesting: JSON readers refuse more than a few hundred
_PLAIN = (str, bool, int, float)


def as_json(value: object, name: str, *, once: bool = False) -> Any:
    """Converts a value to plain JSON. `name` is what messages call it.

    `once`: nobody else reads the value, so an iterator in it is read here, up to `MOST` items.

    Raises:
        InputError: it is not JSON serialisable; names the value and its type.
    """
    with contained():  # classes of the notebook have their own serialisers, iterators run its code
        return JsonReader(name, once=once).read(value)


def is_list(value: object) -> bool:
    """Whether a value is a list or can be read like one: a tuple, range, deque, or view of a dict."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return False
    return isinstance(value, Sequence | MappingView)


def is_one_shot(value: object) -> bool:
    """Whether a value can be read only once: a generator, map, zip, csv reader or open file."""
    return isinstance(value, Iterator | io.IOBase)


class JsonReader:
    """Converts the value called `name`; see `as_json`."""

    def __init__(self, name: str, *, once: bool = False) -> None:
        self.name = name
        self._once = once
        self._around: list[int] = []  # ids of the containers that are being read

    def read(self, value: Any) -> Any:
        """The value as JSON.

        Raises:
            InputError: it is not JSON serialisable.
        """
        kind = type(value)
        if value is None or kind in _PLAIN:
            return value
        if id(value) in self._around:
            raise InputError(f"{self.name!r} contains itself, which is not JSON: pass the part that is needed")
        if len(self._around) > _DEEPEST:
            raise InputError(f"{self.name!r} is nested more than {_DEEPEST} levels deep: pass the part that is needed")
        self._around.append(id(value))
        try:
            return self._container(value)
        finally:
            self._around.pop()

    def _container(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self.key(k): self.read(v) for k, v in value.items()}
        if (items := self._items(value)) is not None:
            return [self.read(v) for v in items]
        if is_missing(value):
            return None
        if (image := images.encode(value)) is not None:
            return image
        plain = foreign(value, self.name)
        return self._other(value) if plain is value else self.read(plain)

    def _items(self, value: Any) -> Iterable[Any] | None:
        """The elements of what is like a list; None for other values."""
        if isinstance(value, range):
            self._check_length(value)
        if is_list(value):
            return value  # type: ignore[no-any-return]  # is_list says so
        if isinstance(value, set | frozenset):
            return in_order(value)  # type: ignore[no-any-return]  # a list
        return self._unrolled(value) if is_one_shot(value) else None

    def key(self, key: object) -> str:
        """The key of a dict as text.

        Raises:
            InputError: it is no text.
        """
        key = key.value if hasattr(key, "value") else key  # of an Enum
        if isinstance(key, str):
            return str(key)
        write = "read one entry by its key, or pass a dict (a table: columns) with text keys"
        raise InputError(f"{self.name!r} has the key {key!r}, and keys in JSON are text: {write}")

    def _unrolled(self, value: Iterator[Any]) -> list[Any]:
        if not self._once:
            raise InputError(once_only(value, self.name))
        items = [*islice(value, MOST + 1)]
        self._check_length(items)
        return items

    def _check_length(self, value: Sequence[Any]) -> None:
        if len(value) > MOST:
            write = "take a part of it, as with itertools.islice"
            raise InputError(f"{self.name!r} gives more items than the {MOST:,} that fit, or never ends: {write}")

    def _other(self, value: object) -> Any:
        """A value of another class, as Pydantic writes it: a record, a date, an Enum, a path."""
        from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

        try:
            return to_jsonable_python(in_order(value), fallback=self._fallback)
        except UnicodeDecodeError:  # bytes that are not UTF-8
            write = "decode them, or pass text"
            raise InputError(f"{self.name!r} holds bytes that are no image, which is not JSON: {write}") from None
        except (PydanticSerializationError, ValueError, TypeError, RecursionError):
            raise InputError(
                f"{self.name!r} is of type {type(value).__name__}, which is not JSON: pass text, numbers, lists, "
                "dicts or records, or use it inside a notebook function"
            ) from None

    def _fallback(self, value: Any) -> Any:
        """A field of a record that Pydantic cannot write."""
        if (image := images.encode(value)) is not None:
            return image
        plain = foreign(value, self.name)
        if plain is value:
            raise ValueError(f"{type(value).__name__} is not JSON")
        return self.read(plain)


def once_only(value: object, name: str) -> str:
    """The message about an iterator: it would be empty in the next run."""
    if isinstance(value, io.TextIOBase):
        return f"{name!r} is an open file, which can be read only once: write {name} = {name}.read(), or .readlines()"
    return f"{name!r} is a {type(value).__name__}, which can be read only once: write {name} = list({name}) first"


def is_blank(value: object) -> bool:
    """Whether an item holds nothing: None, NaN, or a text of spaces."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or (isinstance(value, str) and not value.strip())
