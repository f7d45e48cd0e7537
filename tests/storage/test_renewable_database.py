"""A file that may be lost: put aside when it is damaged, and only then; all who share it go on with the new one."""

from __future__ import annotations

import os
import sqlite3

import pytest

from orchmagic.storage.renewable_database import RenewableDatabase
from orchmagic.storage.schema import DatabaseSchema

SCHEMA = DatabaseSchema("CREATE TABLE kept(x)")


class Desk:
    """A file, those who have it open, and what they told of damage."""

    def __init__(self, file):
        self.file = file
        self.told = []
        self.open = []

    def database(self, schema=SCHEMA):
        made = RenewableDatabase(self.file, schema, lambda why, aside: self.told.append((why, aside)))
        self.open.append(made)
        return made


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "some.db")
    yield made
    for database in made.open:
        database.close()


def spoil(file):
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    file.write_bytes(os.urandom(file.stat().st_size))


def test_a_statement_that_makes_no_sense_is_no_damage(desk):
    database = desk.database()
    database.run("INSERT INTO kept VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="no such table: gone"):
        database.run("SELECT * FROM gone")

    def add_and_fail():
        with database.exclusive() as execute:
            execute("INSERT INTO kept VALUES (2)")
            execute("SELECT * FROM gone")

    with pytest.raises(sqlite3.OperationalError, match="no such table: gone"):
        add_and_fail()
    assert database.run("SELECT x FROM kept") == [(1,)]
    assert desk.told == []


def test_who_meets_the_damage_later_puts_the_new_file_not_aside(desk):
    first, second = desk.database(), desk.database()
    first.run("INSERT INTO kept VALUES (1)")
    second.run("SELECT x FROM kept")
    spoil(desk.file)
    spoilt = desk.file.read_bytes()
    first.run("INSERT INTO kept VALUES (2)")
    assert second.run("SELECT x FROM kept") == [(2,)]
    assert [aside.read_bytes() for _, aside in desk.told] == [spoilt]


def test_an_error_of_the_old_file_does_not_harm_the_new_one(desk):
    """Two kernels meet the damage at once: the slower one finds a sound file under the name."""
    slow, fast = desk.database(), desk.database()
    slow.run("INSERT INTO kept VALUES (1)")
    spoil(desk.file)
    fast.run("INSERT INTO kept VALUES (2)")
    met = sqlite3.DatabaseError("database disk image is malformed")
    met.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    slow._heal(met)
    assert slow.run("SELECT x FROM kept") == [(2,)]
    assert len(desk.told) == 1


def test_a_file_of_a_newer_version_is_left_alone(desk):
    newer = desk.database(DatabaseSchema("CREATE TABLE kept(x, y)", version=2))
    newer.run("INSERT INTO kept VALUES (1, 2)")
    with pytest.raises(sqlite3.DatabaseError, match="by a newer orchmagic, version 2, this one reads version 1"):
        desk.database().run("SELECT * FROM kept")
    assert newer.run("SELECT * FROM kept") == [(1, 2)]
    assert desk.told == []


def test_a_column_that_came_later_is_added_and_old_rows_are_read_on(desk):
    desk.database().run("INSERT INTO kept VALUES (1)")
    later = DatabaseSchema("CREATE TABLE kept(x, y INTEGER DEFAULT 7)")
    assert desk.database(later).run("SELECT x, y FROM kept") == [(1, 7)]


def test_each_new_file_is_counted_because_its_rows_are_numbered_anew(desk):
    database = desk.database()
    database.run("SELECT 1")
    assert database.opened == 1
    desk.file.unlink()
    database.run("INSERT INTO kept VALUES (3)")
    assert (database.opened, database.run("SELECT x FROM kept")) == (2, [(3,)])


def test_in_memory_nothing_is_put_aside(tmp_path):
    database = RenewableDatabase(None, SCHEMA, lambda *_: pytest.fail("there is no file"))
    database.run("INSERT INTO kept VALUES (1)")
    assert database.run("SELECT x FROM kept") == [(1,)]
    database.close()
    assert list(tmp_path.iterdir()) == []
