"""What is kept between calls is opened at its first use, closed with the settings it was opened by, and opened anew."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from orchmagic.core.settings import Settings
from orchmagic.runtime.caches import Caches
from orchmagic.runtime.event_loop import EventLoopThread


@pytest.fixture
def desk(tmp_path):
    """A `Caches` whose settings can be changed."""
    now = SimpleNamespace(settings=Settings(cache_dir=str(tmp_path / "first")))
    bridge = EventLoopThread()
    now.kept = Caches(lambda: now.settings, bridge)
    yield now
    now.kept.close()
    bridge.close()


def test_it_is_opened_once_and_at_its_first_use(desk, tmp_path):
    assert not (tmp_path / "first").exists()
    answers, questions = desk.kept.answers, desk.kept.questions
    assert (desk.kept.answers, desk.kept.questions) == (answers, questions)
    assert answers.stats()["path"] == str(tmp_path / "first" / "answers")


def test_after_closing_it_follows_the_settings_of_now(desk, tmp_path):
    first, asked = desk.kept.answers, desk.kept.questions
    desk.kept.close()
    desk.kept.close()
    desk.settings = desk.settings.model_copy(update={"cache_dir": str(tmp_path / "second")})
    assert desk.kept.answers is not first
    assert desk.kept.questions is not asked
    assert desk.kept.answers.stats()["path"] == str(tmp_path / "second" / "answers")


def test_switched_off_there_is_neither(desk):
    desk.settings = desk.settings.model_copy(update={"cache": "off"})
    assert (desk.kept.answers, desk.kept.questions) == (None, None)


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import sys, orchmagic.runtime.caches; print([m for m in ('diskcache', 'numpy', 'redis') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
