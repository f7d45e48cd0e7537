"""Outputs as Pydantic classes: what is asked for, what is accepted, what is repaired, what is seen."""

from __future__ import annotations

import json
import pathlib
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    RootModel,
    SecretStr,
    TypeAdapter,
    computed_field,
    field_serializer,
    field_validator,
)

from orchmagic.errors import InputError, OutputError
from orchmagic.graph.output_types import OutputType, resolve
from orchmagic.language.annotations import parse_output

PATIENT = settings(deadline=None)  # the first example pays for the imports


class Ticket(BaseModel):
    product: str = "none"
    tags: tuple[str, ...] = ()


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    level: Level
    pair: tuple[int, int]


class Names(RootModel[list[str]]):
    pass


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    price: int

    @computed_field  # type: ignore[prop-decorator] # as Pydantic documents it
    @property
    def gross(self) -> int:
        return self.price + 1


class Node(BaseModel):
    name: str
    children: list[Node] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Renamed(BaseModel):
    name: str = Field(validation_alias="customerName")


class Written(BaseModel):
    name: str = Field(serialization_alias="customer_name")


class German(BaseModel):
    day: date

    @field_serializer("day")
    def written(self, day: date) -> str:
        return day.strftime("%d.%m.%Y")


class Partial(BaseModel):
    keep: str
    raw: str = Field(exclude=True)


class Secret(BaseModel):
    key: SecretStr


class Louder(BaseModel):
    text: str
    seen: ClassVar[list[str]] = []

    @field_validator("text")
    @classmethod
    def loud(cls, text: str) -> str:
        cls.seen.append(text)
        return text + "!"


@dataclass
class Counted:
    n: int

    def __post_init__(self) -> None:
        self.n += 1


Described = Annotated[Order, Field(description="an order")]
Short = Annotated[str, Field(max_length=9)]
NOTEBOOK = {
    "Renamed": Renamed, "Written": Written, "German": German, "Partial": Partial, "Secret": Secret, "SecretStr": SecretStr, "Louder": Louder,
    "Counted": Counted,
    "Ticket": Ticket, "Strict": Strict, "Names": Names, "Level": Level, "Node": Node, "Order": Order, "Point": Point,
    "Field": Field, "number": 3, "HttpUrl": HttpUrl, "pathlib": pathlib, "UUID": UUID, "Described": Described, "Short": Short,
    "datetime": datetime, "date": date,
}  # fmt: skip
EXTRACT = 'product: str, severity: "low" | "high"'
GOOD = '{"product": "Router", "severity": "low"}'


def output(source: str, name: str = "extract", confidence: str | None = None) -> OutputType:
    return resolve(name, parse_output(source), NOTEBOOK, confidence)


def refusal(kind: OutputType, reply: str) -> str:
    with pytest.raises(OutputError) as caught:
        kind.parse(reply)
    assert caught.value.reply == reply
    return str(caught.value)


def test_text_has_no_schema_and_any_reply_is_right() -> None:
    kind = output("str")
    assert (kind.schema, kind.model) == (None, None)
    assert kind.parse("```json\n{}") == ("```json\n{}", None)
    assert kind.rebuild("x") == "x"


def test_fields_become_a_closed_class_named_after_the_step() -> None:
    kind = output(EXTRACT, "find_order")
    assert kind.model is not None
    assert kind.schema is not None
    assert kind.schema.name == kind.model.__name__ == "FindOrder"
    assert kind.schema.strict
    assert kind.schema.schema == kind.model.model_json_schema()
    assert kind.schema.schema["additionalProperties"] is False
    assert kind.schema.schema["required"] == ["product", "severity"]
    assert kind.schema.schema["properties"]["severity"]["enum"] == ["low", "high"]


def test_a_value_is_asked_for_in_a_wrapper() -> None:
    kind = output("list[str]")
    assert kind.schema is not None
    assert kind.schema.schema["required"] == ["value"]
    assert kind.parse('{"value": ["a"]}') == (["a"], None)
    assert kind.rebuild(["a"]) == ["a"]


@pytest.mark.parametrize(("source", "schema"), [("Ticket", Ticket.model_json_schema()), ("Point", None)])
def test_classes_of_the_notebook_are_asked_for_as_they_are(source: str, schema: dict[str, Any] | None) -> None:
    kind = output(source)
    assert kind.schema is not None
    assert not kind.schema.strict
    assert kind.schema.name == "Extract"
    assert kind.schema.schema == (schema or TypeAdapter(Point).json_schema())
    assert kind.model is (Ticket if schema else None)


@pytest.mark.parametrize(
    ("source", "strict"),
    [
        ("a: int, b: str | None, c: list[Level]", True),
        ("Level", True),
        ("Names", True),
        ("dict[str, int]", False),
        ("tuple[int, str]", False),
        ("Any", False),
        ("a: Ticket", False),
        ("list[Ticket]", False),
    ],
)
def test_only_closed_schemas_are_enforced_by_the_endpoint(source: str, strict: bool) -> None:
    schema = output(source).schema
    assert schema is not None
    assert schema.strict is strict


@pytest.mark.parametrize(
    ("source", "reply", "stored", "seen"),
    [
        ("Level", '{"value": "low"}', "low", Level.LOW),
        ("Names", '{"value": ["a"]}', ["a"], Names(["a"])),
        (
            "Ticket",
            '{"product": "x", "tags": ["a"]}',
            {"product": "x", "tags": ["a"]},
            Ticket(product="x", tags=("a",)),
        ),
        ("Point", '{"x": "2"}', {"x": 2, "y": 0}, Point(2)),
        ("Strict", '{"level": "high", "pair": [1, 2]}', {"level": "high", "pair": [1, 2]}, None),
        ("Node", '{"name": "a", "children": [{"name": "b"}]}', None, None),
        ("int", '{"value": "3"}', 3, 3),
        ("bool | None", '{"value": null}', None, None),
        ("tuple[int, ...]", '{"value": [1, 2]}', [1, 2], (1, 2)),
        ("list[Ticket]", '{"value": [{"product": "x"}]}', [{"product": "x", "tags": []}], [Ticket(product="x")]),
    ],
)
def test_a_reply_is_stored_as_json_and_seen_as_a_typed_value(source: str, reply: str, stored: Any, seen: Any) -> None:
    kind = output(source)
    value, repaired = kind.parse(reply)
    assert repaired is None
    assert json.loads(json.dumps(value)) == value
    if stored is not None:
        assert value == stored
    if seen is not None:
        assert kind.rebuild(value) == seen
    assert kind.dump(kind.rebuild(value)) == value


def test_fields_are_seen_as_attributes() -> None:
    kind = output("level: Level, note: str")
    value, _ = kind.parse('{"level": "low", "note": "x"}')
    assert kind.rebuild(value).level is Level.LOW
    assert kind.rebuild(value).note == "x"


def test_a_step_that_did_not_run_stays_none() -> None:
    assert output(EXTRACT).rebuild(None) is None


@pytest.mark.parametrize(
    ("reply", "repaired"),
    [
        (GOOD, None),
        (f"\n {GOOD} \n", None),
        (f"```json\n{GOOD}\n```", "code fence"),
        (f"Here it is:\n```\n{GOOD}\n```\nBye {{x}}", "code fence"),
        (f"Sure! {GOOD} Anything {{else}}?", "text around the JSON"),
        ("{'product': 'Router', 'severity': 'low',}", "broken JSON"),
        ("```json\n{product: 'Router', severity: low}\n```", "broken JSON"),
    ],
)
def test_what_is_around_or_wrong_with_the_json_is_repaired(reply: str, repaired: str | None) -> None:
    assert output(EXTRACT).parse(reply) == ({"product": "Router", "severity": "low"}, repaired)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", "holds no JSON"),
        ("I would say that it is low.", "holds no JSON"),
        ("I would say {low} or so", '"product", "severity"'),
        ('["Router", "low"]', '"product", "severity"'),
        ('"low"', '"product", "severity"'),
        ('{"product": "Router"}', "severity: missing"),
        ('{"product": "Router", "severity": "lo', "cut off"),
        ('{"product": "Router", "severity": "low"', "cut off"),
        ("{'product': 'Router', 'severity': 'lo'}", "severity: Input should be 'low' or 'high' (got \"lo\")"),
        ('{"product": "Router", "severity": "LOW"}', "severity: Input should be"),
        ('{"product": 3, "severity": "low"}', "product: Input should be a valid string (got 3)"),
        (GOOD[:-1] + ', "x": 1}', "x: not asked for"),
        ('{"product": "\\ud800", "severity": "low"}', "Invalid JSON"),
        ('{"product": {"a": NaN}, "severity": "low"}', "product: Input should be a valid string"),
        ("{" * 50_000, "cut off"),
        ("[" * 50_000, "nested too deeply"),
        ('{"a":' * 20_000, "nested too deeply"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused_with_what_is_wrong(reply: str, words: str) -> None:
    assert words in refusal(output(EXTRACT), reply)


def test_a_long_list_of_problems_is_cut() -> None:
    kind = output(", ".join(f"f{i}: int" for i in range(9)))
    assert refusal(kind, '{"f0": 1}').endswith("; and 3 more")


def test_defaults_do_not_make_any_object_fit() -> None:
    assert '"product", "tags"' in refusal(output("Ticket"), "I {think} so")
    assert '"product", "tags"' in refusal(output("Ticket"), "{}")


def test_a_lone_value_is_taken_for_the_one_asked_for() -> None:
    assert output("list[str]").parse('["a"]') == (["a"], "bare value")
    assert output('"a" | "b"').parse('```\n"a"\n```') == ("a", "code fence")
    assert output("dict[str, int]").parse('{"k": 1}') == ({"k": 1}, "bare value")


def test_a_value_is_not_dug_out_of_prose() -> None:
    assert "no JSON" in refusal(output("list[str]"), "see [1] and [2]")
    assert '"value"' in refusal(output("dict[str, str]"), "a {word} here")


@PATIENT
@given(st.text() | st.text(alphabet="{}[]\"':,abnull01` \n"))
def test_any_reply_is_accepted_or_refused(reply: str) -> None:
    for source in (EXTRACT, "list[str]", "Ticket"):
        kind = output(source)
        try:
            value, _ = kind.parse(reply)
        except OutputError as error:
            assert str(error)  # noqa: PT017 - either outcome is right
        else:
            assert kind.dump(kind.rebuild(value)) == value


@PATIENT
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_in_a_field_arrives_as_it_is(text: str) -> None:
    kind = output("quote: str")
    assert kind.parse(json.dumps({"quote": text})) == ({"quote": text}, None)


def test_confidence_is_an_attribute_that_the_model_need_not_give() -> None:
    kind = output('label: "a" | "b"', confidence="label")
    assert kind.rebuild({"label": "a"}).confidence is None
    assert kind.rebuild({"label": "a", "confidence": 0.3}).confidence == 0.3
    assert kind.dump(kind.rebuild({"label": "a"})) == {"label": "a", "confidence": None}


def test_the_model_is_asked_for_its_confidence_only_when_told_to() -> None:
    kind = output('label: "a" | "b"', confidence="label")
    silent, reporting = kind.requested(self_report=False), kind.requested(self_report=True)
    assert silent.schema is not None
    assert reporting.schema is not None
    assert silent.schema.strict
    assert reporting.schema.strict
    assert silent.schema.schema["required"] == ["label"]
    assert reporting.schema.schema["required"] == ["label", "confidence"]
    assert silent.parse('{"label": "a"}') == ({"label": "a"}, None)
    assert reporting.parse('{"label": "a", "confidence": 0.5}') == ({"label": "a", "confidence": 0.5}, None)
    assert "confidence: missing" in refusal(reporting, '{"label": "a"}')
    assert "less than or equal to 1" in refusal(reporting, '{"label": "a", "confidence": 7}')


def test_asking_for_confidence_keeps_what_fields_declare() -> None:
    source = "label: str, score: Annotated[int, Field(le=10, description='0 to 10')]"
    asked = output(source, confidence="label").requested(self_report=True)
    plain = output(source)
    assert asked.schema is not None
    assert plain.schema is not None
    assert asked.schema.schema["properties"]["score"] == plain.schema.schema["properties"]["score"]
    assert "less than or equal to 10" in refusal(asked, '{"label": "a", "score": 11, "confidence": 1}')


def test_computed_fields_are_seen_and_not_stored() -> None:
    kind = output("Order")
    value, _ = kind.parse('{"price": 2}')
    assert value == {"price": 2}
    assert kind.rebuild(value).gross == 3


ODD = [
    ("Renamed", {"customerName": "Bob"}, lambda x: x.name == "Bob"),
    ("Written", {"name": "Bob"}, lambda x: x.name == "Bob"),
    ("German", {"day": "2026-11-30"}, lambda x: x.day == date(2026, 11, 30)),
    ("Partial", {"keep": "a", "raw": "b"}, lambda x: (x.keep, x.raw) == ("a", "b")),
    ("Secret", {"key": "hunter2"}, lambda x: x.key.get_secret_value() == "hunter2"),
    ("Louder", {"text": "a"}, lambda x: x.text == "a!"),
    ("Counted", {"n": 1}, lambda x: x.n == 2),
    ("list[Secret]", {"value": [{"key": "hunter2"}]}, lambda x: x[0].key.get_secret_value() == "hunter2"),
    ("a: Louder, b: Partial", {"a": {"text": "a"}, "b": {"keep": "c", "raw": "d"}}, lambda x: (x.a.text, x.b.raw) == ("a!", "d")),
    ("SecretStr", {"value": "hunter2"}, lambda x: x.get_secret_value() == "hunter2"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reply", "right"), ODD, ids=[row[0] for row in ODD])
def test_a_class_whose_json_is_read_otherwise_keeps_its_value(source: str, reply: Any, right: Any) -> None:
    kind = output(source)
    value, _ = kind.parse(json.dumps(reply))
    stored = json.loads(json.dumps(value))
    assert right(kind.rebuild(stored))
    assert right(output(source).rebuild(stored)), "another kernel reads it the same"


def test_validators_run_once_in_a_kernel() -> None:
    kind = output("Louder")
    Louder.seen.clear()
    value, _ = kind.parse('{"text": "a"}')
    first, second = kind.rebuild(value), kind.rebuild(value)
    first.text = "changed by the notebook"
    assert (second.text, Louder.seen) == ("a!", ["a"])


def test_a_declared_confidence_is_left_to_the_model() -> None:
    kind = output("label: str, confidence: float", confidence="label")
    assert kind.requested(self_report=True) is kind.requested(self_report=False) is kind


def test_field_names_may_be_those_of_pydantic_methods() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind = output("schema: str, copy: int, json: bool, model_name: str")
    value, _ = kind.parse('{"schema": "a", "copy": 1, "json": true, "model_name": "m"}')
    assert kind.rebuild(value).copy == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Tikcet", "returns 'Tikcet', which the notebook does not define; did you mean 'Ticket'?"),
        ("a: Missing", "returns 'Missing'"),
        ("number", "cannot return this"),
        ("Ticket.nothing", "which is no type"),
        ("a: list[number]", "cannot return this"),
    ],
)
def test_what_is_no_type_of_the_notebook_is_named(source: str, words: str) -> None:
    with pytest.raises(InputError, match="step 'extract'") as caught:
        output(source)
    assert words in str(caught.value)


def test_annotated_outputs_are_enforced() -> None:
    kind = output("score: Annotated[int, Field(ge=0, le=10)]")
    assert kind.parse('{"score": 10}') == ({"score": 10}, None)
    assert "score: Input should be less than or equal to 10" in refusal(kind, '{"score": 11}')


@pytest.mark.parametrize(("name", "title"), [("größe", "GrE"), ("步骤", "Output"), ("a" * 99, "A" + "a" * 63)])
def test_schema_names_are_what_endpoints_take(name: str, title: str) -> None:
    schema = output("a: int", name).schema
    assert schema is not None
    assert schema.name == title


OUTPUTS = ["score: float, why: str", 'list["a" | "b"]', "when: date", "Optional[int]", "list[Ticket]", "kind: Colour"]


@pytest.mark.parametrize("source", OUTPUTS)
def test_what_names_nothing_of_the_notebook_is_resolved_once(source: str) -> None:
    class Ticket(BaseModel):
        id: int

    class Other(BaseModel):
        name: str

    space = {"Ticket": Ticket, "Colour": Ticket, "unused": 1}
    first, again = (resolve("step", parse_output(source), space) for _ in range(2))
    changed = resolve("step", parse_output(source), {**space, "Ticket": Other, "Colour": Other})
    if "Ticket" in source or "Colour" in source:
        assert changed.schema != first.schema  # a class that was defined anew is another type
    else:
        assert first is again is changed
    assert first.requested(self_report=False) is first.requested(self_report=False)


@pytest.mark.parametrize(("source", "name"), [("when: date", "date"), ("n: int", "int"), ("Optional[int]", "Optional")])
def test_a_name_that_the_notebook_takes_for_its_own_is_the_notebooks(source: str, name: str) -> None:
    assert resolve("step", parse_output(source), {}) is resolve("step", parse_output(source), {"x": 1})
    own: dict[str, object] = {name: list if name == "Optional" else str}
    assert resolve("step", parse_output(source), own) is not resolve("step", parse_output(source), {})


@pytest.mark.parametrize("self_report", [True, False])
def test_the_type_that_is_requested_is_made_once(self_report: bool) -> None:
    kind = resolve("route", parse_output("handler: str"), {}, confidence="handler")
    asked = kind.requested(self_report=self_report)
    assert asked is kind.requested(self_report=self_report)
    assert ("confidence" in asked.schema.schema["properties"]) is self_report


@pytest.mark.parametrize(
    "source",
    [
        "s: set[str]",
        "s: frozenset[int]",
        "u: HttpUrl",
        "p: pathlib.Path",
        "b: bytes",
        "d: Described",
        "k: SecretStr",
        "n: Short",
        "m: list[HttpUrl]",
    ],
)
def test_what_strict_mode_refuses_is_not_sent_as_strict(source: str) -> None:
    assert not output(source).schema.strict


@pytest.mark.parametrize("source", ["d: date", "t: datetime", "u: UUID", "n: int", "w: list[str]"])
def test_what_strict_mode_takes_is_strict(source: str) -> None:
    assert output(source).schema.strict
