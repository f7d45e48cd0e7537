"""Whatever is planted in the disk cache runs nothing and reads nothing; whatever breaks is a warning and a miss."""

import os
import pickle
import sqlite3
import warnings
from pathlib import Path

import diskcache
import pytest

from orchmagic.errors import SettingsError
from orchmagic.models.cache import CacheWarning
from orchmagic.models.cache.stores.disk import DiskCache

LONG = {"text": "x" * 50_000}  # diskcache puts this into a file of its own


@pytest.fixture
def cache(tmp_path):
    made = DiskCache(tmp_path / "answers")
    yield made
    made.close()


def plant(cache, **columns):
    """Change the row of key "a" behind the cache's back."""
    cache.close()
    with sqlite3.connect(cache.folder / "cache.db") as connection:
        for name, value in columns.items():
            connection.execute(f"UPDATE Cache SET {name} = ? WHERE key = 'a'", (value,))
    connection.close()


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("key_too", [False, True])
def test_a_planted_pickle_does_not_run(cache, tmp_path, key_too):
    cache.set("a", {"x": 1})
    payload = pickle.dumps(Bomb(tmp_path / "ran"))
    plant(cache, mode=4, value=payload)
    if key_too:
        with sqlite3.connect(cache.folder / "cache.db") as connection:
            connection.execute("INSERT INTO Cache(key, raw, mode, value) VALUES (?, 0, 4, ?)", (payload, payload))
        connection.close()
    with pytest.warns(CacheWarning, match="a stored row of mode 4 is not text"):
        assert cache.get("a") is None
    cache.set("a", {"x": 2})
    assert cache.get("a") == {"x": 2}
    cache.clear()
    assert not (tmp_path / "ran").exists()


def test_the_planted_pickle_would_have_run_without_our_disk(cache, tmp_path):
    """Else the test above proves nothing."""
    cache.set("a", {"x": 1})
    plant(cache, mode=4, value=pickle.dumps(Bomb(tmp_path / "ran")))
    with diskcache.Cache(str(cache.folder), disk=diskcache.Disk) as plain:
        plain.get("a")
    assert (tmp_path / "ran").exists()


def test_a_planted_pickle_file_does_not_run_either(cache, tmp_path):
    cache.set("a", LONG)
    (file,) = cache.folder.glob("*/*/*.val")
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    plant(cache, mode=4)
    with pytest.warns(CacheWarning, match="mode 4"):
        assert cache.get("a") is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "columns",
    [
        {"mode": 2},
        {"mode": 3, "filename": "../secret"},
        {"mode": 1, "value": b"{}"},
        {"mode": 1, "value": 7},
        {"mode": 1, "value": "[1]"},
        {"mode": 1, "value": "{"},
        {"mode": None},
    ],
)
def test_any_other_planted_row_is_a_warning_and_a_miss(cache, tmp_path, columns):
    (tmp_path / "secret").write_text('{"not": "yours"}')
    cache.set("a", {})
    plant(cache, **columns)
    with pytest.warns(CacheWarning, match="cannot be read"):
        assert cache.get("a") is None


def test_a_planted_name_deletes_no_foreign_file(cache, tmp_path):
    (tmp_path / "precious").write_text("keep me")
    cache.set("a", {})
    plant(cache, filename="../precious")
    cache.set("a", {})
    plant(cache, filename="../precious")
    cache.delete("a")
    cache.clear()
    assert (tmp_path / "precious").read_text() == "keep me"


def test_a_text_file_that_is_gone_or_spoilt_is_a_miss(cache):
    cache.set("a", LONG)
    (file,) = cache.folder.glob("*/*/*.val")
    file.write_bytes(b"\xff\xfe")
    with pytest.warns(CacheWarning, match="cannot be read"):
        assert cache.get("a") is None
    file.unlink()
    assert cache.get("a") is None


@pytest.mark.parametrize("value", [b"bytes", 3, {"a"}])
def test_only_text_goes_in(cache, value):
    with pytest.raises(Exception, match="not text"):
        cache._opened().set("a", value)
    with pytest.raises(Exception, match="not text"):
        cache._opened().get(value)


# --- trouble ---


def wreck(folder):
    for file in folder.glob("cache.db-*"):
        file.unlink()
    (folder / "cache.db").write_bytes(b"this is no database " * 500)


def test_a_damaged_file_is_moved_aside_and_a_fresh_one_made(cache):
    cache.set("a", LONG)
    cache.close()
    wreck(cache.folder)
    with pytest.warns(CacheWarning, match="is damaged"):
        assert cache.get("a") is None
    cache.set("a", {"fresh": 1})
    assert cache.get("a") == {"fresh": 1}
    assert (cache.folder / "damaged" / "cache.db").read_bytes().startswith(b"this is no database")
    assert not list(cache.folder.glob("??/*/*.val"))


def test_a_file_that_is_damaged_in_use_heals_too_and_one_copy_is_kept(cache):
    for _ in range(2):
        cache.set("a", {"x": 1})
        cache.close()
        file = cache.folder / "cache.db"
        content = bytearray(file.read_bytes())
        content[4096:] = b"\x5a" * (len(content) - 4096)  # the header stays readable
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)  # the second one is not told again
            cache.set("a", {"x": 2})
            assert cache.get("a") == {"x": 2}
    assert [f.name for f in cache.folder.iterdir() if f.is_dir()] == ["damaged"]


def test_a_locked_file_is_not_taken_for_a_damaged_one(cache, monkeypatch):
    monkeypatch.setattr("orchmagic.models.cache.stores.disk._LOCKED", 0.01)
    cache.set("a", {"x": 1})
    other = sqlite3.connect(cache.folder / "cache.db", isolation_level=None)
    cache.close()
    cache.get("a")  # open with the short patience
    other.execute("BEGIN IMMEDIATE")
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache.set("a", {"x": 2})
    assert cache.get("a") == {"x": 1}
    other.execute("ROLLBACK")
    other.close()
    cache.set("a", {"x": 3})
    assert cache.get("a") == {"x": 3}
    assert not (cache.folder / "damaged").exists()


def test_a_folder_that_cannot_be_made_is_told_once_and_given_up(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file" / "answers")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            cache.set("a", {})
            assert cache.get("a") is None
            cache.delete("a")
    assert len(seen) == 1
    for call in (cache.stats, cache.clear):
        with pytest.raises(SettingsError, match="set ORCHMAGIC_CACHE_DIR to another"):
            call()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_passed_over(tmp_path):
    tmp_path.chmod(0o500)
    cache = DiskCache(tmp_path / "answers")
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache.set("a", {})
    tmp_path.chmod(0o700)


def test_a_full_disk_costs_the_entry_and_no_more(cache):
    cache.set("a", {"x": 1})
    pages = cache._opened()._sql("PRAGMA page_count").fetchone()[0]
    cache._opened()._sql(f"PRAGMA max_page_count = {pages}")  # sqlite's own "database or disk is full"
    with pytest.warns(CacheWarning, match="full"):
        cache.set("b", {"text": "x" * 30_000})
    assert cache.get("a") == {"x": 1}


def test_a_size_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="write a number of bytes"):
        DiskCache(tmp_path, size=0)
