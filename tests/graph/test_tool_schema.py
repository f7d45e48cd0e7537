"""Notebook functions as tools: schema from hints, arguments checked, errors that a model can act on."""

from enum import Enum

import pytest

from orchmagic.graph import tool_schema


class Size(Enum):
    small = "small"
    large = "large"


def find(order_id: str, limit: int = 3, size: Size = Size.small) -> list:
    """Find orders.

    Args:
        order_id: for example A17
    """
    return [order_id, limit, size]


def test_the_schema_comes_from_hints_and_defaults():
    schema = tool_schema.tool("find", find).spec.parameters
    assert schema["required"] == ["order_id"]
    assert schema["properties"]["limit"]["type"] == "integer"
    assert schema["additionalProperties"] is False


def test_the_description_is_the_docstring():
    assert tool_schema.tool("find", find).spec.description.startswith("Find orders.")


def test_arguments_arrive_typed():
    assert tool_schema.tool("find", find).read('{"order_id": "A", "size": "large"}')["size"] is Size.large


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"limit": 2}', "order_id: Field required"),
        ('{"order_id": "A", "limit": "many"}', "limit: Input should be a valid integer"),
        ('{"order_id": "A", "color": 1}', "color: Extra inputs are not permitted"),
        ("not json", "Invalid JSON"),
        ("[1]", "should be an object"),
    ],
)
def test_bad_arguments_are_told_in_words(written, told):
    with pytest.raises(ValueError, match=told):
        tool_schema.tool("find", find).read(written)


def untyped(a, b: int):
    return a


def starred(*args: int):
    return args


def lost(x: "Nowhere"):  # noqa: F821 - that it cannot be resolved is the point
    return x


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "no function 'f'"),
        ([1], "is a list, not a function"),
        (Size, "is a class, not a function"),
        (untyped, "no type hint for a"),
        (starred, "args by position"),
        (lost, "cannot be read"),
    ],
)
def test_what_is_no_tool_is_said_in_words(found, told):
    assert told in str(tool_schema.problem("f", found))


def test_a_function_with_hints_is_a_tool():
    assert tool_schema.problem("find", find) is None


class Opaque:
    pass


def hidden(_id: str) -> str: ...
def sender(_from: str, to: str) -> str: ...
def configured(model_config: str) -> str: ...
def dunder(__base__: str) -> str: ...
def opaque(thing: Opaque) -> str: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (hidden, "_id, a name that a tool cannot have: rename it, for example id"),
        (sender, "_from, a name that a tool cannot have: rename it, for example from_"),
        (configured, "model_config"),
        (dunder, "__base__"),
        (opaque, "no JSON schema"),
    ],
)
def test_a_parameter_that_a_model_would_not_be_told_of_is_refused(function, words):
    assert words in (tool_schema.problem(function.__name__, function) or "")


def test_names_that_pydantic_uses_are_parameters_like_others():
    def odd(copy: str, json: int, schema: bool, model_name: str, model_fields: str = "") -> str: ...

    assert tool_schema.problem("odd", odd) is None
    made = tool_schema.tool("odd", odd)
    assert list(made.spec.parameters["properties"]) == ["copy", "json", "schema", "model_name", "model_fields"]
    assert made.read('{"copy": "a", "json": 1, "schema": true, "model_name": "m"}')["json"] == 1


def test_a_tool_without_parameters_is_one():
    def now() -> str: ...

    assert tool_schema.problem("now", now) is None
