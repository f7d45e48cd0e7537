"""The tables of an SQLite file, and what an older file lacks of them."""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True, slots=True)
class DatabaseSchema:
    """The tables of a file. `since`: the version that added a table, where it is not the first one.

    An older file is migrated when it is opened: it gets the tables and columns that it lacks, in one transaction. So a
    new column needs a default (or may be NULL). `version` is raised when an older orchmagic must not write the file.
    """

    statements: str
    version: int = 1
    since: Mapping[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> frozenset[str]:
        """The names of the tables in `statements`."""
        return frozenset(re.findall(r"CREATE TABLE (\w+)", self.statements))

    def missing(self, connection: sqlite3.Connection) -> list[str]:
        """The statements that give the file what it lacks: tables, columns, its version.

        Raises:
            NewerFileError: the file was written by a newer version.
            IncompleteFileError: it lacks a table of its version.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > self.version:
            why = f"it was written by a newer orchmagic, version {version}, this one reads version {self.version}"
            raise NewerFileError(why)
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if lost := sorted(t for t in self.tables - there if version >= self.since.get(t, 1)):
            raise IncompleteFileError(f"it lacks the table {lost[0]!r}")
        todo: list[str] = []
        if version < self.version:
            todo += [re.sub(r"CREATE (TABLE|INDEX)", r"CREATE \1 IF NOT EXISTS", s) for s in self.statements.split(";")]
        for table, columns in _columns(self.statements, self.tables).items():
            has = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            todo += [
                f"ALTER TABLE {table} ADD COLUMN {n} {kind}" for n, kind in columns.items() if has and n not in has
            ]
        if not connection.execute("PRAGMA application_id").fetchone()[0]:  # tells this file from another of its name
            todo.append(f"PRAGMA application_id = {secrets.randbits(30) + 1}")
        return [*todo, f"PRAGMA user_version = {self.version}"] if todo else []


@cache
def _columns(statements: str, tables: frozenset[str]) -> Mapping[str, Mapping[str, str]]:
    """The columns by table, with type and default."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        model.executescript(statements)
        info = {table: model.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}
    return {
        table: {c[1]: c[2] if c[4] is None else f"{c[2]} DEFAULT {c[4]}" for c in columns}
        for table, columns in info.items()
    }


class NewerFileError(sqlite3.DatabaseError):
    """The file was written by a newer version; it is not damaged."""


class IncompleteFileError(sqlite3.DatabaseError):
    """The file lacks a table that a file of its version has."""
