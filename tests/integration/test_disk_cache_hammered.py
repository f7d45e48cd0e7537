"""Many processes, sudden deaths and damage in mid-run: what was acknowledged is there, and nothing is ever made up."""

import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from orchmagic.models.cache import CacheWarning
from orchmagic.models.cache.stores._text_disk import TextDisk
from orchmagic.models.cache.stores.disk import DiskCache

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import hammer

pytestmark = pytest.mark.slow

LONG = {"text": "x" * 50_000}  # diskcache puts this into a file of its own


def test_nothing_acknowledged_is_lost_when_processes_die(tmp_path):
    outcome = hammer.check(tmp_path, 4, hammer.hammer(tmp_path, seconds=3, processes=4, kill=0.7))
    assert (outcome.said, outcome.lost, outcome.odd, outcome.integrity) == ([], [], [], "ok")
    assert outcome.kills >= 3
    assert outcome.acknowledged > 50


def test_what_is_lost_or_made_up_would_be_seen(tmp_path):
    """Else the test above proves nothing."""
    hammer.check(tmp_path, 2, outcome := hammer.hammer(tmp_path, seconds=1.5, processes=2, kill=9))
    cache = DiskCache(tmp_path / "answers")
    cache.set("0-1", {**hammer.value("0-1", 10**9), "text": "made up"})
    cache.delete("1-1")
    cache.close()
    hammer.check(tmp_path, 2, outcome)
    assert [len(outcome.odd), len(outcome.lost)] == [1, 1]


@pytest.mark.slow
def test_sessions_that_die_lose_no_answer(tmp_path):
    with hammer.answering() as (url, given):
        outcome = hammer.hammer(tmp_path, seconds=6, processes=2, kill=4, url=url)
        hammer.check_runs(tmp_path, 2, outcome, given, url)
    assert (outcome.said, outcome.lost, outcome.odd, outcome.integrity) == ([], [], [], "ok")
    assert outcome.acknowledged > 0


# --- damage while it is open, seen by one kernel first and by another one after it ---


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
    shutil.rmtree(file.parent)


def without_tables(file):
    connection = sqlite3.connect(file)
    connection.execute("DROP TABLE Cache")
    connection.close()


def filled(cache):
    for number in range(60):
        cache.set(str(number), {"n": number, "text": "y" * 2000})
    cache.set("long", LONG)


@pytest.fixture
def pair(tmp_path):
    """Two kernels on one folder."""
    both = DiskCache(tmp_path / "answers"), DiskCache(tmp_path / "answers")
    filled(both[0])
    assert both[1].get("1") == {"n": 1, "text": "y" * 2000}
    # into the file, where it is to be damaged
    both[0]._opened()._sql("PRAGMA wal_checkpoint(TRUNCATE)")
    yield both
    for one in both:
        one.close()


HARMS = [truncated, emptied, overwritten, half_overwritten, deleted, without_log, all_deleted, without_tables]


@pytest.mark.parametrize("harm", HARMS)
def test_damage_in_use_costs_a_warning_and_misses_and_all_kernels_go_on(pair, harm):
    harm(pair[0].folder / "cache.db")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for cache in pair:
            for number in range(60):
                assert cache.get(str(number)) in (None, {"n": number, "text": "y" * 2000})
            assert cache.get("long") in (None, LONG)
        for cache, other in (pair, pair[::-1]):
            filled(cache)
            assert other.get("59") == {"n": 59, "text": "y" * 2000}
            assert other.get("long") == LONG
    said = [str(w.message) for w in told]
    assert all(w.category is CacheWarning for w in told), said
    assert len(said) <= 2
    assert all(str(pair[0].folder / "damaged") in text and "begun anew" in text for text in said)


@pytest.mark.parametrize("harm", [overwritten, half_overwritten])
def test_the_damaged_file_is_kept_and_named(pair, harm):
    file = pair[0].folder / "cache.db"
    harm(file)
    spoilt = file.read_bytes()
    with pytest.warns(CacheWarning, match="damaged"):
        filled(pair[0])
    assert (file.parent / "damaged" / "cache.db").read_bytes() == spoilt


def test_a_change_that_sqlite_cannot_see_is_no_answer(pair):
    """A page with other letters in it is a whole page; the checksum of the answer tells."""
    for one in pair:
        one.close()
    file = pair[0].folder / "cache.db"
    file.write_bytes(file.read_bytes().replace(b"yyyy", b"yyzy"))
    with pytest.warns(CacheWarning, match="not as it was written"):
        assert pair[0].get("7") is None
    pair[0].set("7", {"n": 7})
    assert pair[0].get("7") == {"n": 7}


def test_an_answer_under_the_wrong_key_is_no_answer(pair):
    with sqlite3.connect(pair[0].folder / "cache.db") as connection:
        connection.execute("DELETE FROM Cache WHERE key = '8'")
        connection.execute("UPDATE Cache SET key = '8' WHERE key = '7'")
    connection.close()
    with pytest.warns(CacheWarning, match="not as it was written"):
        assert pair[0].get("8") is None


def test_a_folder_that_could_not_be_opened_is_tried_again(tmp_path):
    now = [0.0]
    (tmp_path / "answers").write_text("in the way")
    cache = DiskCache(tmp_path / "answers", clock=lambda: now[0])
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache.set("a", {"x": 1})
    (tmp_path / "answers").unlink()
    cache.set("a", {"x": 1})
    assert not (tmp_path / "answers").exists()
    now[0] = 61.0
    cache.set("a", {"x": 1})
    assert cache.get("a") == {"x": 1}
    cache.close()


def test_what_dying_processes_left_goes_when_all_is_forgotten(pair):
    left = pair[0].folder / "ab" / "cd" / f"{'0' * 28}.val"
    left.parent.mkdir(parents=True)
    left.write_text("half an answer")
    pair[0].clear()
    assert left.exists()  # somebody may be about to enter it
    os.utime(left, (1, 1))
    pair[0].clear()
    assert not left.exists()


FULL = """
import resource, sys, warnings
from pathlib import Path
from orchmagic.models.cache.stores._text_disk import TextDisk
from orchmagic.models.cache.stores.disk import DiskCache
warnings.simplefilter("always")
cache = DiskCache(Path(sys.argv[1]))
cache.set("a", {"x": 1})
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
for number in range(200):
    cache.set(f"b{number}", {"text": "x" * (60_000 if number % 2 else 3000)})
assert cache.get("a") == {"x": 1}
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
cache.set("c", {"x": 2})
assert cache.get("c") == {"x": 2}
cache.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of this kind there")
def test_files_that_may_not_grow_cost_a_warning_and_come_back(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("CacheWarning")) == (0, 1), done.stderr
    assert "cannot be written" in done.stderr
    assert not (tmp_path / "damaged").exists()


def test_an_answer_that_is_replaced_while_it_is_read_is_no_miss(pair, monkeypatch):
    reader, writer = pair
    real, times = TextDisk.fetch, []

    def fetch(disk, *row):
        times.append(1)
        if len(times) == 1:
            writer.set("long", {**LONG, "new": True})  # the file that the row names is gone now
        return real(disk, *row)

    monkeypatch.setattr(TextDisk, "fetch", fetch)
    assert reader.get("long") == {**LONG, "new": True}
    assert len(times) == 2
