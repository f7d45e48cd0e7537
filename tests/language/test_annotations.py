"""The text behind `->`: Python types, and quoted labels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.language.annotations import TEXT, Field, NotAnOutput, Output, annotation_names, parse_output

PATIENT = settings(deadline=None)  # the first example pays for the imports


@pytest.mark.parametrize(
    ("source", "annotation"),
    [
        ("list[str]", "list[str]"),
        ("Ticket", "Ticket"),
        ("shop.Ticket", "shop.Ticket"),
        ('"a" | "b"', "Literal['a', 'b']"),
        ('"a"', "Literal['a']"),
        ('"a" | None | "b"', "Literal['a', 'b'] | None"),
        ('int | "x" | "y"', "int | Literal['x', 'y']"),
        ("1 | 2 | -3", "Literal[1, 2, -3]"),
        ('list["a" | "b"]', "list[Literal['a', 'b']]"),
        ('dict[str, "a" | None]', "dict[str, Literal['a'] | None]"),
        ('Literal["a", "b"]', "Literal['a', 'b']"),
        ('Annotated["a" | "b", Field(description="x")]', "Annotated[Literal['a', 'b'], Field(description='x')]"),
        ("tuple[int, ...]", "tuple[int, ...]"),
        ("str | None", "str | None"),
        ("int  # a remark", "int"),
    ],
)
def test_one_type_is_a_value(source: str, annotation: str) -> None:
    assert parse_output(source) == Output("value", annotation=annotation)


def test_str_is_text() -> None:
    assert parse_output(" str ") == TEXT
    assert parse_output("(str)") == TEXT


def test_named_types_are_fields() -> None:
    assert parse_output('product: str, severity: "low" | "high", rows: int') == Output(
        "fields",
        fields=(Field("product", "str"), Field("severity", "Literal['low', 'high']"), Field("rows", "int")),
    )


@pytest.mark.parametrize(
    ("source", "write"),
    [
        ("", "nothing follows `->`: write a type"),
        ("a, b", "several outputs need names: write `first: str, second: int`"),
        ("a: str, b", "'b' needs a type: write `b: str`"),
        ("a: str = 3", "neither default nor star: write `name: type`"),
        ("*a: str", "neither default nor star"),
        ("a: str, a: str", "'a' is named twice"),
        ("str: answer", "'str' is a type: name the output, as in `result: str`"),
        ("_a: str", "write `a`"),
        ("model_dump: str", "taken by Pydantic"),
        ("a: str) -> (int", "is no output"),
        ("a: str): pass\nimport os\ndef _(", "is no output"),
        ("f()", "'f()' is no type"),
        ("a + b", "is no type"),
        ("a: 0.5", "labels are text or whole numbers"),
        ("[" * 3000, "is no output"),
        ("a" + " | b" * 5000, "too deeply"),
        ("\0", "is no output"),
    ],
)
def test_what_is_no_output_says_what_to_write(source: str, write: str) -> None:
    with pytest.raises(NotAnOutput) as caught:
        parse_output(source)
    assert write in str(caught.value)


@PATIENT
@given(st.text() | st.text(alphabet="ab:|,[]()\"' 1N"))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        output = parse_output(source)
    except NotAnOutput as error:
        assert error.found  # noqa: PT017 - either outcome is right
        assert error.write  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(annotation_names(output), frozenset)


def test_names_of_an_output_come_from_the_notebook() -> None:
    assert annotation_names(parse_output("a: Ticket | None, b: list[Tag], c: Optional[int], d: 'x' | 'y'")) == {
        "Ticket",
        "Tag",
    }
    assert annotation_names(parse_output("shop.Ticket")) == {"shop"}
    assert annotation_names(TEXT) == frozenset()
