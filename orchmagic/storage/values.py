"""Values as they are stored: without API keys, and a large one once, compressed, however many runs and fields hold it.

In place of a large value stands a reference. A value larger than LARGEST is not stored; reading its reference raises
NotKeptError. A value that held a key is stored without it and marked as such, so that it is shown and never used again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json, to_jsonable_python

from orchmagic.core.redaction import KeyValues

if TYPE_CHECKING:
    from orchmagic.storage.database import Database, Execute

INLINE = 16_384  # bytes of JSON text that stand in the row itself
LARGEST = 32 * 2**20  # bytes of JSON text
_DIGITS = 18  # of a number that fits in SQLite's integers
_REFERENCE = "orchmagic:value"  # key of a reference: {"orchmagic:value": sha256, "bytes": size}
_KEYLESS = "orchmagic:keyless"  # key of a value from which API keys were removed


class NotKeptError(LookupError):
    """A value was too large to be stored, or its row is missing or damaged."""


class KeyRemovedError(NotKeptError):
    """A value held an API key and was stored without it."""


class Values:
    """The values of a database with the tables `blobs` and `uses`; `keys` are not stored."""

    def __init__(self, database: Database, keys: KeyValues) -> None:
        self._database = database
        self._keys = keys

    def stowed(self, value: Any, run: str, execute: Execute) -> Any:
        """Return the value as it is to be stored; stores a large one for `run` in the transaction of `execute`."""
        cleaned = self._keys.clean(value)
        if cleaned is not value:
            return {_KEYLESS: self.stowed(cleaned, run, execute)}
        text = as_text(value)
        if len(text) <= INLINE:
            return value
        digest = hashlib.sha256(text.encode()).hexdigest()
        if len(text) <= LARGEST:
            if execute("SELECT 1 FROM blobs WHERE hash = ?", digest).fetchone() is None:
                execute("INSERT INTO blobs(hash, data) VALUES (?, ?)", digest, zlib.compress(text.encode(), 1))
            execute("INSERT OR IGNORE INTO uses(run, hash) VALUES (?, ?)", run, digest)
        return {_REFERENCE: digest, "bytes": len(text)}

    def keyless(self, *small: Any) -> list[Any]:
        """Small values as they are to be stored."""
        return [value if (clean := self._keys.clean(value)) is value else {_KEYLESS: clean} for value in small]

    def whole(self, value: Any) -> Any:
        """Return the value of a reference; other values as they are.

        Raises:
            KeyRemovedError: it was stored without an API key.
            NotKeptError: the value is not there.
        """
        if is_keyless(value):
            raise KeyRemovedError("a value that held an API key, which is not stored")
        if not is_reference(value):
            return value
        if value["bytes"] > LARGEST:
            limit = f"more than the {LARGEST / 2**20:.0f} MB that are kept"
            raise NotKeptError(f"a value of {value['bytes'] / 2**20:.0f} MB, {limit}")
        rows = self._database.read("SELECT data FROM blobs WHERE hash = ?", value[_REFERENCE])
        try:
            return json.loads(_inflated(rows[0]["data"]))
        except (IndexError, TypeError, ValueError, zlib.error) as error:
            raise NotKeptError(f"a value of {value['bytes']:,} bytes that is missing or damaged") from error

    def shown(self, value: Any) -> Any:
        """Like `whole`, also without its keys; in place of a value that is not there, a text that says so."""
        if is_keyless(value):
            return self.shown(value[_KEYLESS])
        try:
            return self.whole(value)
        except NotKeptError as error:
            return f"(not kept: {error})"


def is_reference(value: object) -> bool:
    """Whether it stands for a value that is stored elsewhere."""
    return isinstance(value, dict) and value.keys() == {_REFERENCE, "bytes"} and isinstance(value["bytes"], int)


def is_keyless(value: object) -> bool:
    """Whether a stored value is one from which API keys were removed."""
    return isinstance(value, dict) and value.keys() == {_KEYLESS}


def forget(run: str, execute: Execute) -> None:
    """Delete the values that only `run` uses."""
    execute(_UNUSED, run, run)
    execute("DELETE FROM uses WHERE run = ?", run)


def _inflated(data: bytes) -> bytes:
    """Inflate to at most LARGEST bytes: a damaged or planted row must not fill the memory."""
    return zlib.decompressobj().decompress(data, LARGEST)


def as_text(value: object) -> str:
    """Return JSON in ASCII, since a lone surrogate in a reply has no UTF-8 form."""
    return json.dumps(value, separators=(",", ":"))


def compact_text(value: object) -> str:
    """Return JSON like `as_text`, several times as fast, of all that pydantic knows; of the rest, its repr."""
    try:
        return to_json(value, fallback=repr).decode()
    except ValueError:  # half of a surrogate pair
        return as_text(to_jsonable_python(value, fallback=repr))


def row_number(id_: str, letter: str) -> int:
    """Return 17 for "r17"; -1, which no row has, if `id_` is no id with this letter."""
    digits = id_[1:]
    fits = id_[:1] == letter and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS
    return int(digits) if fits else -1


_UNUSED = (
    "DELETE FROM blobs WHERE hash IN (SELECT hash FROM uses WHERE run = ?) "
    "AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.hash = blobs.hash AND uses.run <> ?)"
)
