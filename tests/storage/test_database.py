"""Whether a SQLite file is damaged, whether it is still the one that was opened, and who may put it aside."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from orchmagic.storage.schema import DatabaseSchema
from orchmagic.storage.sqlite_files import (
    connect,
    connect_read_only,
    file_identity,
    is_damaged,
    is_log_without_file,
    may_be_damage,
    process_lock,
    put_aside,
    retry_while_locked,
)

pytestmark = pytest.mark.slow

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
    assert not is_damaged(file, TABLES)
    assert is_damaged(file, TABLES | {"gone"})


def test_a_file_that_is_none_is_damaged(file):
    file.write_bytes(b"this is no database " * 500)
    assert is_damaged(file, TABLES)
    assert may_be_damage(error(file, "SELECT * FROM kept"))


def test_a_locked_file_is_no_damage(file):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not may_be_damage(error(file, "INSERT INTO kept VALUES (1)"))
    assert not is_damaged(file, TABLES)
    other.close()


def test_no_file_at_all_is_no_damage_and_looking_makes_none(tmp_path):
    assert not is_damaged(tmp_path / "none.db", TABLES)
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_its_file_is_damage(file):
    open_ = sqlite3.connect(file)
    open_.execute("INSERT INTO kept VALUES (1)")
    assert not is_log_without_file(file)
    file.unlink()
    assert is_log_without_file(file)
    assert is_damaged(file, TABLES)
    open_.close()


def test_a_file_that_was_replaced_is_another_one(file):
    open_ = sqlite3.connect(file)
    before = file_identity(file)
    assert before == file_identity(str(file))
    put_aside(file, file.with_name("aside.db"))
    assert file_identity(file) is None
    sqlite3.connect(file).close()
    assert file_identity(file) != before
    assert file_identity(file.with_name("aside.db")) == before
    open_.close()


def test_only_one_is_in_there(tmp_path):
    inside, most = [], []

    def work():
        with process_lock(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    with process_lock(tmp_path / "lock"):
        for thread in threads:
            thread.start()
        assert most == []
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_where_nothing_can_be_locked_it_goes_on(tmp_path):
    with process_lock(tmp_path / "no" / "such" / "folder" / "lock"):
        pass


def test_what_is_locked_is_tried_again_and_other_trouble_is_not(file, tmp_path):
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    tries = []

    def opening():
        tries.append(1)
        if len(tries) == 3:
            other.rollback()
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
        return "open"

    assert retry_while_locked(opening) == "open"
    assert len(tries) == 3
    other.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        retry_while_locked(lambda: sqlite3.connect(tmp_path / "no" / "folder.db"))


CLOSING = {
    "cache": """
from orchmagic.models.cache.stores.disk import DiskCache
cache = DiskCache(path)
cache.set("a", {})
assert cache.get("a") == {}
cache.close()
""",
    "checkpoints": """
import asyncio
from orchmagic.storage.checkpoints import open_saver
async def opened_and_closed():
    saver, close = await open_saver(path / "checkpoints.db")
    await close()
asyncio.run(opened_and_closed())
""",
    "history": """
from orchmagic.storage.runs import Store
store = Store(path / "history.db")
assert store.begin("a", "chain").startswith("r")
store.close()
""",
    "semantic cache": """
from orchmagic.models.semantic.store import SemanticStore
store = SemanticStore(path / "semantic.db")
store.entries()
store.close()
""",
}


@pytest.mark.parametrize("what", CLOSING)
def test_a_file_that_another_process_is_just_closing_can_be_opened(tmp_path, what):
    """SQLite ends its log at the last close, and says "locked" at once to who opens then."""
    turns = "import sys\nfrom pathlib import Path\npath = Path(sys.argv[1])\nfor turn in range(150):\n"
    script = turns + "".join(f"    {line}\n" for line in CLOSING[what].strip().splitlines())
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in running] == ["", ""]


@pytest.mark.parametrize(
    "opening",
    [lambda at: connect(at, DatabaseSchema("CREATE TABLE kept(x)")), connect_read_only],
    ids=["to write", "to read"],
)
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path, opening):
    os.mkfifo(tmp_path / "runs.sqlite")
    with pytest.raises(OSError, match="no regular file"):
        opening(tmp_path / "runs.sqlite")
