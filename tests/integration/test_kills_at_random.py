"""Runs that are killed at random moments, with several calls in flight: nothing is lost, paid twice or written twice."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import kills

pytestmark = pytest.mark.slow


def test_a_kill_loses_no_run_pays_no_answer_twice_and_repeats_no_write(tmp_path):
    found = kills.kill(tmp_path, len(kills.CELLS), first=2)
    assert (found.lost, found.asked, found.written) == ([], [], [])
    assert found.kills == len(kills.CELLS)


def test_a_call_that_is_made_twice_and_a_write_that_is_made_twice_would_be_seen(tmp_path, monkeypatch):
    """Else the test above proves nothing."""

    def damaged(folder):
        """Forget what was paid and written, once the answers on disk have been counted."""
        found = count(folder)
        if "-" in folder.name:
            for file in folder.rglob("*.sqlite"):
                with sqlite3.connect(file) as database:
                    for table in ("journal", "writes"):
                        if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                            database.execute(f"DELETE FROM {table}")
                database.close()
        return found

    count = kills.stored
    monkeypatch.setattr(kills, "stored", damaged)
    monkeypatch.setattr(kills, "CELLS", {"chain": kills.CELLS["chain"]})
    monkeypatch.setattr(kills.random.Random, "uniform", lambda _, low, high: high * 0.7)
    found = kills.kill(tmp_path, 1)
    assert found.asked
    assert found.written
    assert not found.clean
