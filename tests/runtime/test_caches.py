"""What is kept between calls is opened at its first use, closed with the settings it was opened by, and opened anew."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from orchmagic.core.settings import Settings
from orchmagic.runtime.event_loop import EventLoopThread
from orchmagic.runtime.services import Caches


@pytest.fixture
def desk(tmp_path):
    """A `Caches` whose settings can be changed."""
    settings, loop = SimpleNamespace(now=Settings(cache_dir=str(tmp_path / "first"))), EventLoopThread()
    made = SimpleNamespace(settings=settings, caches=Caches(settings, loop))
    yield made
    made.caches.close()
    loop.close()


def test_it_is_opened_once_and_at_its_first_use(desk, tmp_path):
    assert not (tmp_path / "first").exists()
    answers, questions = desk.caches.answers, desk.caches.semantic
    assert (desk.caches.answers, desk.caches.semantic) == (answers, questions)
    assert answers.stats()["path"] == str(tmp_path / "first" / "answers")


def test_after_closing_it_follows_the_settings_of_now(desk, tmp_path):
    first, asked = desk.caches.answers, desk.caches.semantic
    desk.caches.close()
    desk.caches.close()
    desk.settings.now = desk.settings.now.model_copy(update={"cache_dir": str(tmp_path / "second")})
    assert desk.caches.answers is not first
    assert desk.caches.semantic is not asked
    assert desk.caches.answers.stats()["path"] == str(tmp_path / "second" / "answers")


def test_switched_off_they_wait_for_a_line_that_asks_for_them(desk):
    desk.settings.now = desk.settings.now.model_copy(update={"cache": "off"})
    assert (desk.caches.answers is None, desk.caches.semantic is None) == (False, False)


def test_nothing_heavy_is_imported_for_it():
    code = "import sys, orchmagic.runtime.services; print([m for m in ('diskcache', 'numpy', 'redis') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
