"""A damaged file of the semantic cache costs a warning and what it knew; the kernels that share it go on with a new one."""

import os
import shutil
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import pytest

from orchmagic.core.semantic_policy import SemanticCacheConfig
from orchmagic.models.cache import CacheWarning
from orchmagic.models.semantic import ComparedQuestion
from orchmagic.models.semantic.semantic_cache import EmbeddedQuestion, SemanticCache
from orchmagic.models.semantic.store import SemanticStore
from orchmagic.storage.sqlite_files import CONNECT


def vector(number):
    made = np.zeros(384, dtype=np.float32)
    made[number % 384] = 1
    return made


def asked(number):
    words = ("garden", "kitchen", "window", "table", "bottle", "engine", "river", "mountain", "forest", "island")
    text = f"How do I paint the {words[number % 10]} of the house?"
    return EmbeddedQuestion(ComparedQuestion("s", {"q": text}), vector(number))


def filled(memory, first=0):
    for number in range(first, first + 10):
        memory.add(asked(number), f"key {number}", 1.0)


@pytest.fixture
def pair(tmp_path):
    """Two kernels on one file, both with vectors in memory."""
    both = [
        SemanticCache(SemanticStore(tmp_path / "semantic.sqlite"), lambda: None, SemanticCacheConfig())
        for _ in range(2)
    ]
    filled(both[0])
    for memory in both:
        assert memory.nearest(asked(3)).entry.key == "key 3"
    with sqlite3.connect(tmp_path / "semantic.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    yield both
    for memory in both:
        memory.close()


def truncated(file):
    os.truncate(file, file.stat().st_size // 2)


def emptied(file):
    os.truncate(file, 0)


def overwritten(file):
    file.write_bytes(os.urandom(file.stat().st_size))


def half_overwritten(file):
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # the header stays readable
    file.write_bytes(content)


def deleted(file):
    file.unlink()


def without_log(file):
    Path(f"{file}-wal").unlink()


def all_deleted(file):
    for other in file.parent.iterdir():
        other.unlink()


def without_a_table(file):
    connection = sqlite3.connect(file)
    connection.execute("DROP TABLE entries")
    connection.close()


HARMS = [truncated, emptied, overwritten, half_overwritten, deleted, without_log, all_deleted, without_a_table]


@pytest.mark.parametrize("harm", HARMS)
def test_damage_in_use_costs_a_warning_and_all_kernels_go_on(pair, harm):
    file = pair[0].store.path
    harm(file)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for memory, other in (pair, pair[::-1]):
            filled(memory)
            for one in (memory, other):
                assert one.nearest(asked(7)).entry.key == "key 7"
                assert one.store.totals()["entries"] == 10
            assert other.forget(other.nearest(asked(1)).entry.number)
            assert memory.nearest(asked(1)) is None
    said = [str(w.message) for w in told]
    assert len(said) <= 1
    assert all(f"{file} is damaged" in text and f"moved to {file}.damaged, begun anew" in text for text in said)


def test_what_was_damaged_is_kept(pair):
    file = pair[0].store.path
    overwritten(file)
    spoilt = file.read_bytes()
    with pytest.warns(CacheWarning, match="damaged"):
        filled(pair[0])
    assert Path(f"{file}.damaged").read_bytes() == spoilt


def test_vectors_of_the_old_file_match_no_number_of_the_new_one(pair):
    """In a new file the numbers begin again: entry 3 is another question there."""
    overwritten(pair[0].store.path)
    with pytest.warns(CacheWarning, match="damaged"):
        pair[0].add(asked(9), "key 9", 1.0)
    for number in reversed(range(9)):
        pair[0].add(asked(number), f"key {number}", 1.0)
    for memory in pair:
        for number in range(10):
            assert memory.nearest(asked(number)).entry.key == f"key {number}"


def test_a_file_that_is_only_locked_is_not_put_aside(pair, monkeypatch):
    monkeypatch.setitem(CONNECT, "timeout", 0.01)
    one = pair[0]
    one.close()
    one.store.totals()  # open with the short patience
    other = sqlite3.connect(one.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        filled(one)
    other.execute("ROLLBACK")
    other.close()
    assert one.store.totals()["entries"] == 10


def test_a_damaged_file_in_a_folder_that_is_gone_is_made_again(pair):
    shutil.rmtree(pair[0].store.path.parent)
    filled(pair[0])
    assert pair[1].store.totals()["entries"] == 10
