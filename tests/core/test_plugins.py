"""A plug-in is a file: the registry finds it, or says what there is."""

import pytest

from orchmagic.core.plugins import Registry
from orchmagic.errors import SettingsError
from orchmagic.patterns import PATTERNS, Pattern


def test_names_lists_the_built_in_patterns():
    assert {"chain", "route", "react"} <= set(PATTERNS.names())


def test_every_pattern_is_named_like_its_file():
    assert [p.name for p in PATTERNS] == list(PATTERNS.names())


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'chain'"):
        PATTERNS.get("chian")


def test_a_plug_of_the_wrong_kind_is_refused():
    wrong = Registry("orchmagic.patterns", "build", Pattern)
    with pytest.raises(SettingsError, match="is a function, not a Pattern"):
        wrong.get("chain")


def test_a_foreign_pattern_comes_in_by_its_entry_point(monkeypatch):
    class Entry:
        name = "foreign"

        def load(self):
            return PATTERNS.get("chain")

    def entry_points(*, group, name=None):
        assert group == "orchmagic.patterns"
        return [Entry()] if name in {None, "foreign"} else []

    monkeypatch.setattr("orchmagic.core.plugins.entry_points", entry_points)
    registry = Registry("orchmagic.patterns", "pattern", Pattern)
    assert registry.names()[-1] == "foreign"
    assert registry.get("foreign").name == "chain"
