"""The disk cache keeps JSON, runs no foreign code, loses nothing and never stands in the way."""

import stat
import subprocess
import sys
import threading

import pytest

from orchmagic.models.cache import CACHES
from orchmagic.models.cache.stores.disk import DiskCache

LONG = {"text": "x" * 50_000}  # diskcache puts this into a file of its own


@pytest.fixture
def cache(tmp_path):
    made = DiskCache(tmp_path / "answers")
    yield made
    made.close()


@pytest.mark.parametrize("value", [{}, {"a": [1, None, "ü\ud800"]}, LONG])
def test_what_is_stored_comes_back(cache, value):
    cache.set("a", value)
    assert cache.get("a") == value
    cache.close()
    again = DiskCache(cache.folder)
    assert again.get("a") == value
    again.close()


def test_an_unknown_key_is_a_miss(cache):
    assert cache.get("a") is None


def test_an_entry_lives_as_long_as_it_should(cache):
    cache.set("a", {}, ttl=1000)
    cache.set("b", {}, ttl=-1)
    assert cache.get("a") == {}
    assert cache.get("b") is None


def test_entries_can_be_counted_and_forgotten(cache):
    for name in "abc":
        cache.set(name, LONG)
    cache.delete("a")
    stats = cache.stats()
    assert (stats["entries"], stats["path"]) == (2, str(cache.folder))
    assert stats["bytes"] > 100_000
    assert cache.clear() == 2
    assert cache.get("b") is None


def test_the_size_is_bounded(tmp_path):
    cache = DiskCache(tmp_path, size=1_000_000)
    for number in range(60):
        cache.set(str(number), LONG)
    assert cache.stats()["bytes"] < 1_100_000
    assert cache.get("59") == LONG
    assert cache.get("0") is None
    cache.close()


def test_nothing_is_made_before_it_is_used_and_then_it_is_private(tmp_path):
    folder = tmp_path / "new" / "answers"
    cache = DiskCache(folder)
    assert not folder.exists()
    cache.set("a", {})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    cache.close()


def test_an_open_folder_becomes_private(tmp_path):
    tmp_path.chmod(0o777)
    cache = DiskCache(tmp_path)
    cache.get("a")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    cache.close()


def test_closing_twice_is_fine_and_use_opens_again(cache):
    cache.set("a", {})
    cache.close()
    cache.close()
    assert cache.get("a") == {}


def test_the_registry_makes_one(tmp_path):
    cache = CACHES.get("disk").create(tmp_path)
    cache.set("a", {})
    assert cache.get("a") == {}
    cache.close()


HAMMER = """
import sys, threading
from pathlib import Path
from orchmagic.models.cache.stores.disk import DiskCache
cache = DiskCache(Path(sys.argv[1]))
def work(number):
    for turn in range(15):
        name = f"{sys.argv[2]}-{number}-{turn}"
        cache.set(name, {"name": name})
        assert cache.get(name) == {"name": name}
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
cache.close()
"""


def test_threads_and_processes_lose_nothing(tmp_path):
    command = [sys.executable, "-W", "error", "-c", HAMMER, str(tmp_path)]
    running = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(2)]
    for process in running:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    cache = DiskCache(tmp_path)
    names = [f"{p}-{n}-{turn}" for p in range(2) for n in range(4) for turn in range(15)]
    assert [name for name in names if cache.get(name) != {"name": name}] == []
    assert cache.stats()["entries"] == len(names)
    cache.close()


def test_many_threads_open_one_cache(cache):
    start = threading.Barrier(8)
    missing = []

    def work(number):
        start.wait()
        cache.set(str(number), {"n": number})
        if cache.get(str(number)) != {"n": number}:
            missing.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
