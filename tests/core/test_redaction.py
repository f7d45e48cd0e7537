"""Keys are replaced in every text of a value; a value without keys stays the same object."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from orchmagic.core.redaction import KeyValues

KEY = "sk-canary-0123"


@dataclass(frozen=True)
class Held:
    text: str
    more: tuple[object, ...] = ()


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        (f"a {KEY} b {KEY}", "a [key] b [key]"),
        ([KEY, {"k": (KEY, 1)}], ["[key]", {"k": ("[key]", 1)}]),
        ({KEY: None}, {"[key]": None}),
        (Held(KEY, ({"a": KEY},)), Held("[key]", ({"a": "[key]"},))),
        (f"{KEY}-long", "[key]-long"),
        ("the longer key-of-another-0123", "the longer [key]"),
    ],
)
def test_a_key_is_replaced_wherever_it_stands(value, cleaned):
    assert KeyValues([KEY, "key-of-another", "key-of-another-0123"]).clean(value) == cleaned


@pytest.mark.parametrize("value", ["text", ["a", {"b": (1, None)}], Held("x"), 3, None, {"none": "none"}])
def test_a_value_without_keys_is_the_same_object(value):
    assert KeyValues([KEY, "none", "short"]).clean(value) is value
