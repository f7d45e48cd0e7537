"""`%orch doctor` says what is missing and what could be safer, and what to write; it asks no model."""

from __future__ import annotations

import pytest

from orchmagic import Session
from orchmagic.notebook.doctor import checks

URL = "http://127.0.0.1:9/v1"
TWO = {"deployments": [{"base_url": URL, "model": "a"}, {"base_url": URL, "model": "b"}]}


@pytest.fixture
def found(tmp_path):
    """`found(environ, **models)` are the checks about models."""

    def check(environ, **models):
        space = {"ORCHMAGIC_CACHE_DIR": str(tmp_path), **environ}
        session = Session({}, environ=space, config=lambda: {"models": models})
        try:
            return {c.what: c for c in checks(session) if c.what.startswith("model ")}
        finally:
            session.close()

    return check


def test_a_single_point_of_failure_is_one_line_of_advice_and_no_failure(found):
    (check,) = found({"ORCHMAGIC_MODEL": "one"}, one={"base_url": URL, "model": "m"}).values()
    assert (check.what, check.fine, check.advice) == ("model one", True, True)
    assert str(check).startswith("??  model one: 'one' has one deployment (m at 127.0.0.1:9) and no fallback")
    assert "Write --fallback, or a second one: [tool.orchmagic.models] one = [" in check.found
    assert "\n" not in str(check)


@pytest.mark.parametrize(
    "environ",
    [
        {"ORCHMAGIC_MODEL": "two"},
        {"ORCHMAGIC_MODEL": "scripted"},
        {"ORCHMAGIC_MODEL": "two", "ORCHMAGIC_FALLBACK": "x"},
    ],
)
def test_where_somebody_stands_in_nothing_is_said(found, environ):
    assert found(environ, two=TWO) == {}


def test_a_missing_key_is_a_failure_with_what_to_write(found):
    check = found({"ORCHMAGIC_MODEL": "scripted"}, fast=["groq/a"])["model fast@groq"]
    assert (check.fine, check.found[:19]) == (False, "needs GROQ_API_KEY:")
    assert str(check).startswith("!!  ")
