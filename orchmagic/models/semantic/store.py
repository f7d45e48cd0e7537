"""Stores entries, hits, labels and negatives of the semantic cache in one SQLite file for all kernels of this user.

Answers are not stored here: an entry has the key of its answer in the exact cache, and is removed if that is gone.
A damaged file is moved away with a CacheWarning, and a new one is created.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.models.cache import CacheWarning
from orchmagic.models.semantic import ComparedQuestion, Entry, Hit
from orchmagic.storage.renewable_database import RenewableDatabase
from orchmagic.storage.schema import DatabaseSchema

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_SCHEMA = DatabaseSchema("""
CREATE TABLE entries(number INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT, texts TEXT, vector BLOB, key TEXT,
    stored REAL, UNIQUE(scope, texts));
CREATE INDEX entries_scope ON entries(scope, number);
CREATE TABLE hits(number INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER, asked TEXT, matched TEXT, vector BLOB,
    score REAL, at REAL, saved REAL, label INTEGER);
CREATE TABLE labels(entry INTEGER, asked TEXT, score REAL, right INTEGER, source TEXT, at REAL,
    PRIMARY KEY(entry, asked));
CREATE TABLE negatives(entry INTEGER, asked TEXT, vector BLOB, why TEXT, PRIMARY KEY(entry, asked));
CREATE TABLE verdicts(entry INTEGER, asked TEXT, verifier TEXT, same INTEGER, PRIMARY KEY(entry, asked, verifier));
""")


class SemanticStore:
    """Reads and writes the rows as Python values; `path` None keeps everything in memory.

    Every method may raise sqlite3.Error or OSError; callers handle a broken disk.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.database = RenewableDatabase(path, _SCHEMA, self._warn)
        self._run = self.database.run

    def add(self, question: ComparedQuestion, key: str, vector: NDArray[float32], now: float) -> int:
        """Add an answered question, or replace the key of one with the same texts; returns the entry's number."""
        texts = _text(question)
        self._run(
            "INSERT INTO entries(scope, texts, vector, key, stored) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT(scope, texts) DO UPDATE SET key = excluded.key, stored = excluded.stored",
            question.scope, texts, _packed(vector), key, now,
        )  # fmt: skip  # a statement and its values
        return int(self._run("SELECT number FROM entries WHERE scope = ? AND texts = ?", question.scope, texts)[0][0])

    def after(self, scope: str, number: int) -> list[tuple[int, bytes]]:
        """(number, float16 vector as bytes) of the entries of a scope after `number`."""
        sql = "SELECT number, vector FROM entries WHERE scope = ? AND number > ? ORDER BY number"
        return [(int(n), bytes(v)) for n, v in self._run(sql, scope, number)]

    def entry(self, number: int) -> Entry | None:
        """Return one entry; None if it does not exist."""
        rows = self._run("SELECT scope, texts, key, stored FROM entries WHERE number = ?", number)
        if not rows:
            return None
        [(scope, texts, key, stored)] = rows
        return Entry(number, ComparedQuestion(scope, json.loads(texts)), key, stored)

    def entries(self, most: int = 50) -> list[Entry]:
        """The newest entries, at most `most`."""
        rows = self._run("SELECT number FROM entries ORDER BY number DESC LIMIT ?", most)
        return [e for (n,) in rows if (e := self.entry(n)) is not None]

    def remove(self, number: int) -> bool:
        """Remove an entry with its negatives and verdicts; whether it existed."""
        with self.database.exclusive() as do:
            gone = do("DELETE FROM entries WHERE number = ?", number).rowcount
            for table in ("negatives", "verdicts"):
                do(f"DELETE FROM {table} WHERE entry = ?", number)  # noqa: S608 - two names, both from above
        return bool(gone)

    def clear(self) -> int:
        """Remove everything except the labels; returns the number of entries removed."""
        with self.database.exclusive() as do:
            count = do("SELECT count(*) FROM entries").fetchone()[0]
            for table in ("entries", "hits", "negatives", "verdicts"):
                do(f"DELETE FROM {table}")  # noqa: S608 - four names, all from above
            do("UPDATE labels SET entry = -rowid, asked = ''")  # keep the scores, without the questions
        return int(count)

    def hit(self, entry: Entry, asked: ComparedQuestion, vector: NDArray[float32], score: float, now: float,
            saved: float | None) -> int:  # fmt: skip  # one record
        """Add a hit that was served; returns its number. `saved` in US dollars, None = unknown."""
        with self.database.exclusive() as do:
            made = do(
                "INSERT INTO hits(entry, asked, matched, vector, score, at, saved) VALUES (?, ?, ?, ?, ?, ?, ?)",
                entry.number, _text(asked), _text(entry.question), _packed(vector), score, now, saved,
            )  # fmt: skip  # as above
            return int(made.lastrowid or 0)

    def hits(self, most: int = 20) -> list[Hit]:
        """The newest hits, at most `most`."""
        rows = self._run(
            "SELECT number, asked, matched, score, at, entry, saved, label FROM hits ORDER BY number DESC LIMIT ?", most
        )
        return [
            Hit(n, _shown(a), _shown(m), s, at, e, saved, None if label is None else bool(label))
            for n, a, m, s, at, e, saved, label in rows
        ]

    def wrong(self, hit: int, now: float) -> bool:
        """Mark a hit as wrong: it is never served again, and counts as an error. Whether the hit exists."""
        with self.database.exclusive() as do:
            row = do("SELECT entry, asked, vector, score FROM hits WHERE number = ?", hit).fetchone()
            if row is None:
                return False
            do("UPDATE hits SET label = 0 WHERE number = ?", hit)
            do("INSERT OR REPLACE INTO negatives VALUES (?, ?, ?, 'a person')", row[0], row[1], row[2])
            do("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, 0, 'a person', ?)", row[0], row[1], row[3], now)
        return True

    def label(self, entry: Entry, asked: ComparedQuestion, score: float, right: bool, source: str, now: float) -> None:
        """Label a pair as right or wrong; does not change a label that a person gave."""
        self._run(
            "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(entry, asked) DO UPDATE SET "
            "right = excluded.right, source = excluded.source, at = excluded.at WHERE labels.source != 'a person'",
            entry.number, _text(asked), score, right, source, now,
        )  # fmt: skip  # as above

    def deny(self, entry: Entry, asked: ComparedQuestion, vector: NDArray[float32], why: str) -> None:
        """Add a negative: the entry is not served to this question, nor to one nearer to it than to the entry."""
        self._run(
            "INSERT OR REPLACE INTO negatives VALUES (?, ?, ?, ?)", entry.number, _text(asked), _packed(vector), why
        )

    def negatives(self, entry: int) -> list[bytes]:
        """The float16 vectors of an entry's negatives."""
        return [bytes(v) for (v,) in self._run("SELECT vector FROM negatives WHERE entry = ?", entry)]

    def verdict(self, entry: Entry, asked: ComparedQuestion, verifier: str) -> bool | None:
        """The stored verdict of a verifier on a pair; None if there is none."""
        sql = "SELECT same FROM verdicts WHERE entry = ? AND asked = ? AND verifier = ?"
        rows = self._run(sql, entry.number, _text(asked), verifier)
        return bool(rows[0][0]) if rows else None

    def judged(self, entry: Entry, asked: ComparedQuestion, verifier: str, same: bool) -> None:
        """Store the verdict of a verifier on a pair."""
        self._run("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", entry.number, _text(asked), verifier, same)

    def labels(self) -> list[tuple[float, bool]]:
        """(score, right) of all labels."""
        return [(s, bool(r)) for s, r in self._run("SELECT score, right FROM labels")]

    def counted(self) -> tuple[int, int]:
        """(number of labels, number of right ones); cheaper than `labels`, to detect a change."""
        row = self._run("SELECT count(*), coalesce(sum(right), 0) FROM labels")[0]
        return int(row[0]), int(row[1])

    def audits(self) -> tuple[int, int]:
        """(wrong, all) audited hits."""
        row = self._run("SELECT count(*) - coalesce(sum(right), 0), count(*) FROM labels WHERE source = 'audit'")[0]
        return int(row[0]), int(row[1])

    def totals(self) -> dict[str, Any]:
        """Counts of `entries`, `hits` and `wrong` hits (marked by a person), and `saved` US dollars, if known."""
        row = self._run(
            "SELECT (SELECT count(*) FROM entries), count(*), coalesce(sum(label = 0), 0), coalesce(sum(saved), 0) "
            "FROM hits"
        )[0]
        return dict(zip(("entries", "hits", "wrong", "saved"), row, strict=True))

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        self.database.close()

    def _warn(self, why: str, aside: Path) -> None:
        text = f"the semantic cache in {self.path} is damaged ({why}): moved to {aside}, begun anew"
        warnings.warn(text, CacheWarning, stacklevel=2)


def _text(question: ComparedQuestion) -> str:
    return json.dumps(dict(question.texts), sort_keys=True)


def _shown(texts: str) -> str:
    return " | ".join(json.loads(texts).values())


def _packed(vector: NDArray[float32]) -> bytes:
    """Pack a vector as float16: a cosine changes by less than 0.001, and 100,000 questions take 77 MB."""
    return vector.astype("float16").tobytes()
