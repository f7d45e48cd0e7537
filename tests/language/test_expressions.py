"""Expressions of a cell: what they need, what they call, what is wrong with them, what they yield."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.language import expression

PATIENT = settings(deadline=None)  # the first example pays for the imports


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a + b.c", {"a", "b"}),
        ("any(p in ticket for p in PRODUCTS)", {"ticket", "PRODUCTS"}),
        ("[x for x in x if y]", {"x", "y"}),
        ("[[i + j + k for i in x] for j in y]", {"k", "x", "y"}),
        ("(lambda a, *b, c=d: a + e)(f)", {"d", "e", "f"}),
        ("(z := f(1)) + z", {"f"}),
        ("[w := q for q in r] and w", {"r"}),
        ("sorted(xs, key=len)", {"xs"}),
        ("re.search(pattern, '')", {"pattern"}),
        ("'ticket'", set()),
    ],
)
def test_names_are_what_must_be_given(source: str, names: set[str]) -> None:
    assert expression.names(source) == names


def test_called_names_are_those_in_call_position() -> None:
    assert expression.called("search(q, k=limit()) + len(xs) + store.get(k)") == {"search", "limit"}


def test_attributes_are_pairs_of_free_names() -> None:
    assert expression.attributes("a.b.c + [x.y for x in d.e] + f().g") == (("a", "b"), ("d", "e"))


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("", 0, "missing"),
        ("   ", 0, "missing"),
        ("  x and ", 7, "invalid syntax"),
        ("a +", 3, "invalid syntax"),
        ("  (a", 2, "never closed"),
        ("x = 1", 2, "invalid syntax"),
        ("a\nb", 0, "invalid syntax"),
        ("await f()", 0, "'await' outside function"),
        ("label is 'x'", 0, '"is" with'),
        ("a\0b", 1, "null byte"),
        ("'\ud800'", 0, "no Python text"),
        ("(" * 5000, 200, "too many nested parentheses"),
        ("-" * 100_000 + "1", 0, "too deeply"),
        ("a" + ".b" * 100_000, 0, "too deeply"),
        ("1" + "+1" * 100_000, 0, "too deeply"),
    ],
)
def test_a_syntax_problem_has_a_column(source: str, column: int, words: str) -> None:
    problem = expression.check(source)
    assert problem is not None
    assert words in problem[0]
    assert problem[1] == column


@PATIENT
@given(st.text() | st.text(alphabet="abc ()[]{}.,:=+-*/'\"\\\n0\0"))
def test_any_text_is_read_or_refused(source: str) -> None:
    problem = expression.check(source)
    if problem is None:
        assert isinstance(expression.names(source), frozenset)
        assert expression.called(source) <= expression.names(source)
    else:
        assert problem[0]


def test_a_pattern_with_a_backslash_is_no_warning() -> None:
    assert expression.check(r"re.match('\d+', x)") is None
    assert expression.evaluate(r"bool(re.match('\d+', x))", {"x": "12"}) is True


def test_comprehensions_and_lambdas_see_the_scope() -> None:
    scope = {"products": ["a", "b"], "ticket": "xb"}
    assert expression.evaluate("[p for p in products if p in ticket]", scope) == ["b"]
    assert expression.evaluate("(lambda: ticket)()", scope) == "xb"


def test_the_scope_wins_over_builtins_and_is_left_as_it_was() -> None:
    scope = {"map": SimpleNamespace(ok=True), "f": lambda: 3}
    assert expression.evaluate("map.ok and (n := f()) + n", scope) == 6
    assert set(scope) == {"map", "f"}


def test_what_an_expression_raises_is_left_to_the_caller() -> None:
    with pytest.raises(NameError, match="missing"):
        expression.evaluate("missing + 1", {})
    with pytest.raises(ZeroDivisionError):
        expression.evaluate("1 / n", {"n": 0})


def test_parts_are_values_and_attributes_by_their_source() -> None:
    scope = {
        "extract": SimpleNamespace(quote="x"),
        "ticket": "abc",
        "rows": [[1, 2]],
        "check": str.isdigit,
        "skipped": None,
    }
    source = "extract.quote.lower() in ticket and len(rows[0]) > 1 and check(ticket) and skipped.a and unknown.b"
    assert expression.parts(source, scope) == {"extract.quote": "x", "ticket": "abc", "rows[0]": [1, 2]}


def test_parts_leave_out_what_a_comprehension_binds() -> None:
    assert expression.parts("any(p in t for p in ps)", {"t": "a", "ps": ["b"], "p": 1}) == {"t": "a", "ps": ["b"]}
