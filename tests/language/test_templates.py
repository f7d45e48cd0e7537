"""Prompts are filled in once, byte for byte, and say what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orchmagic.core.portable import as_text
from orchmagic.errors import InputError
from orchmagic.language.template import check, names, render

PATIENT = settings(deadline=None)  # the first example pays for the imports


class Ticket(BaseModel):
    product: str
    tags: list[str] = []


@dataclass
class Point:
    x: int


class Level(Enum):
    LOW = "low"


def escaped(source: str) -> str:
    """Any text as a template that renders to it."""
    return source.replace("{", "{{ '{' }}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("{{ x }} é\n", "{{ x }} é\n"),
        (None, ""),
        (True, "True"),
        (1.50, "1.5"),
        (3, "3"),
        (Level.LOW, "low"),
        (["é", 1, None], '["é",1,null]'),
        (("a", Level.LOW), '["a","low"]'),
        ({"a": {"b": [True]}}, '{"a":{"b":[true]}}'),
        ({"b", "a", "c"}, '["a","b","c"]'),
        (Ticket(product="Röhre"), '{"product":"Röhre","tags":[]}'),
        ([Ticket(product="x")], '[{"product":"x","tags":[]}]'),
        (Point(2), '{"x":2}'),
        ({"o": object}, '{"o":"<class \'object\'>"}'),
    ],
)
def test_a_value_has_one_look_in_prompts(value: object, shown: str) -> None:
    assert as_text(value) == shown
    assert render("{{ value }}", {"value": value}) == shown


def test_a_function_in_a_prompt_is_a_mistake() -> None:
    with pytest.raises(InputError, match=r"items is a function, not a value: call it, or write \['items'\]"):
        render("{{ order.items }}", {"order": {"items": [1]}})


def test_a_value_that_looks_like_a_template_arrives_as_it_is() -> None:
    assert render("{{ a }}|{{ b }}", {"a": "{{ b }}", "b": "{% raw %}"}) == "{{ b }}|{% raw %}"


@pytest.mark.parametrize(
    "source",
    ["${#array[@]} {x} $5 {#1} #}", '{"a": {"b": 1}}', "# Heading\n\n- {item}\n", "\\frac{a}{b}", "a\n\n  b \n", ""],
)
def test_everything_but_double_braces_is_text(source: str) -> None:
    assert check(source) is None
    assert render(source, {}) == source


@PATIENT
@given(st.text())
def test_any_text_with_its_braces_escaped_renders_to_itself(source: str) -> None:
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # as cells are read
    assert check(escaped(source)) is None
    assert render(escaped(source), {}) == source


@PATIENT
@given(st.text())
def test_any_value_arrives_byte_for_byte(value: str) -> None:
    assert render("<{{ value }}>", {"value": value}) == f"<{value}>"


@PATIENT
@given(st.text(alphabet="{}%#ab.|()[]'\" \n") | st.text())
def test_any_text_is_read_or_refused(source: str) -> None:
    if check(source) is None:
        assert isinstance(names(source), frozenset)


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\n{{ b", 1, "unexpected end of template"),
        ("a\n\n{% if b %}", 2, "Unexpected end of template"),
        ("{{ a | nofilter }}", 0, "No filter named 'nofilter'"),
        ("x\n{% include 'other' %}", 1, "cannot take in other templates"),
        ("{{" + "(" * 5000, 0, "too deeply"),
        ("{{ a" + ".b" * 5000 + " }}", 0, "too deeply"),
    ],
)
def test_a_syntax_problem_names_its_line(source: str, line: int, words: str) -> None:
    problem = check(source)
    assert problem is not None
    assert problem[1] == line
    assert words in problem[0]
    assert "\n" not in problem[0]


def test_reading_a_template_computes_nothing() -> None:
    assert check("{{ 10 ** 10 ** 10 }}") is None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{{ a }} {{ b.c }} {{ d[0] }} {{ e['f'] }}", {"a", "b", "d", "e"}),
        ("{% for x in xs %}{{ x }} {{ loop.index }}{% endfor %}", {"xs"}),
        ("{% set y = 1 %}{{ y }}{{ z | upper }}", {"z"}),
        ("{{ len(docs) }} {{ range(3) }} {{ search(q) }}", {"docs", "search", "q"}),
        ("{{ input }} {{ type }}", {"input", "type"}),
        ("plain", set()),
    ],
)
def test_names_are_what_must_be_given(source: str, found: set[str]) -> None:
    assert names(source) == found


def test_a_builtin_can_be_called_and_a_value_of_its_name_wins() -> None:
    assert render("{{ len(docs) }}", {"docs": [1, 2]}) == "2"
    assert render("{{ len(docs) }}", {"docs": [1, 2], "len": lambda _: "many"}) == "many"


def test_a_missing_name_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'tikcet' is not defined; did you mean 'ticket'\?"):
        render("{{ tikcet }}", {"ticket": "x"})


def test_a_missing_attribute_of_none_names_what_is_none() -> None:
    with pytest.raises(InputError, match=r"no attribute 'product' \(None: extract\)"):
        render("{{ extract.product }} {{ a }}", {"extract": None, "a": 1})


def test_a_failing_expression_in_a_template_is_an_input_error() -> None:
    with pytest.raises(InputError, match="TypeError: can only concatenate"):
        render("{{ a + 1 }}", {"a": "x"})


def test_a_name_may_be_tested_for_before_it_is_there() -> None:
    assert render("{% if a is defined %}{{ a }}{% else %}none{% endif %}", {}) == "none"
