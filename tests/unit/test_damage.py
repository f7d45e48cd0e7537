"""Whether a SQLite file is damaged, whether it is still the one that was opened, and who may put it aside."""

import sqlite3
import threading

import pytest

from orchmagic.damage import alone, damaged, doubtful, identity, put_aside, torso

TABLES = frozenset({"kept"})


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "some.db"
    with sqlite3.connect(made) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kept(x)")
    connection.close()
    return made


def error(file, statement):
    connection = sqlite3.connect(file, timeout=0.01)
    try:
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute(statement)
    finally:
        connection.close()
    return raised.value


def test_a_whole_file_is_not_damaged_and_one_that_misses_a_table_is(file):
    assert not damaged(file, TABLES)
    assert damaged(file, TABLES | {"gone"})


def test_a_file_that_is_none_is_damaged(file):
    file.write_bytes(b"this is no database " * 500)
    assert damaged(file, TABLES)
    assert doubtful(error(file, "SELECT * FROM kept"))


def test_a_locked_file_is_no_damage(file):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not doubtful(error(file, "INSERT INTO kept VALUES (1)"))
    assert not damaged(file, TABLES)
    other.close()


def test_no_file_at_all_is_no_damage_and_looking_makes_none(tmp_path):
    assert not damaged(tmp_path / "none.db", TABLES)
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_its_file_is_damage(file):
    open_ = sqlite3.connect(file)
    open_.execute("INSERT INTO kept VALUES (1)")
    assert not torso(file)
    file.unlink()
    assert torso(file)
    assert damaged(file, TABLES)
    open_.close()


def test_a_file_that_was_replaced_is_another_one(file):
    open_ = sqlite3.connect(file)
    before = identity(file)
    assert before == identity(str(file))
    put_aside(file, file.with_name("aside.db"))
    assert identity(file) is None
    sqlite3.connect(file).close()
    assert identity(file) != before
    assert identity(file.with_name("aside.db")) == before
    open_.close()


def test_only_one_is_in_there(tmp_path):
    inside, most = [], []

    def work():
        with alone(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    with alone(tmp_path / "lock"):
        for thread in threads:
            thread.start()
        assert most == []
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_where_nothing_can_be_locked_it_goes_on(tmp_path):
    with alone(tmp_path / "no" / "such" / "folder" / "lock"):
        pass
