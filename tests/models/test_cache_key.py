"""The name of an answer covers all that can change it, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.models.cache.key import key
from orchmagic.models.types import Deployment, ModelRequest, Schema, ToolSpec

HERE = Deployment("small", "openai", "m", base_url="https://a.example/v1")
REQUEST = ModelRequest(
    call="a#1.1",
    model="small",
    messages=({"role": "user", "content": "hi"},),
    parameters={"temperature": 0},
    schema=Schema("Answer", {"type": "object", "properties": {"why": {}, "score": {}}}),
    tools=(ToolSpec("find", "Find it.", {"type": "object"}),),
    vote=1,
)


@pytest.mark.parametrize(
    "change",
    [
        {"call": "z#9.9"},
        {"model": "another alias of the same deployment"},
        {"fallback": ("large",)},
        {"timeout": 1.0},
        {"cache": "refresh"},
        {"ttl": 1.0},
        {"stream": True},
        {"logprobs": True},  # this deployment has none, so they are not asked
    ],
)
def test_what_cannot_change_the_answer_is_not_in_the_key(change):
    assert key(replace(REQUEST, **change), HERE) == key(REQUEST, HERE)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "hi "},)},
        {"messages": ({"role": "system", "content": "hi"},)},
        {"parameters": {"temperature": 1}},
        {"parameters": {}},
        {"max_tokens": 7},
        {"schema": None},
        {"schema": replace(REQUEST.schema, strict=False)},
        {"schema": Schema("Answer", {"type": "object", "properties": {"score": {}, "why": {}}})},  # order is thought
        {"tools": ()},
        {"tools": (replace(REQUEST.tools[0], description="Find it!"),)},
        {"vote": 2},
        {"vote": None},
    ],
)
def test_what_can_change_the_answer_is_in_the_key(change):
    assert key(replace(REQUEST, **change), HERE) != key(REQUEST, HERE)


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "local"},
        {"model": "n"},
        {"base_url": "https://b.example/v1"},
        {"base_url": None},
        {"tools": "json"},
        {"parameters": {"seed": 1}},
    ],
)
def test_the_endpoint_is_in_the_key(change):
    assert key(REQUEST, replace(HERE, **change)) != key(REQUEST, HERE)


@pytest.mark.parametrize(
    "change",
    [
        {"alias": "x"},
        {"key_env": "K"},
        {"input_price": 1.0},
        {"base_url": "https://a.example/v1/"},
        {"parameters": {"temperature": 0}},
    ],
)
def test_what_an_endpoint_is_called_and_costs_is_not(change):
    assert key(REQUEST, replace(HERE, **change)) == key(REQUEST, HERE)


def test_logprobs_are_in_the_key_where_the_endpoint_has_them():
    there = replace(HERE, logprobs=True)
    assert key(replace(REQUEST, logprobs=True), there) != key(REQUEST, there)


json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())


names = st.text().filter(lambda name: name != "messages")  # a request has its own


@given(st.dictionaries(names, json_values, max_size=4), st.randoms())
def test_any_text_has_a_key_and_the_order_of_parameters_does_not_matter(parameters, random):
    pairs = list(parameters.items())
    random.shuffle(pairs)
    keys = {key(replace(REQUEST, parameters=p), HERE) for p in (parameters, dict(pairs))}
    assert len(keys) == 1
    assert len(keys.pop()) == 64
