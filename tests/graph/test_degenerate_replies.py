"""A reply that a model wrote in a loop is read in linear time: mended if that is quick, else refused."""

import time

import pytest

from orchmagic.errors import OutputError
from orchmagic.graph.output_types import resolve
from orchmagic.language.annotations import Output

MOST = 20_000  # characters
LOOPS = [
    "{",
    "[",
    "{[",
    '{"',
    "{'",
    '{"a" ',
    '{"a":',
    "{(",
    '{"a":"b\n',
    "{,",
    '{"}',
    '{"]',
    "{:}",
    "```json\n{",
    "{<think>",
    "`a`<think>",
    "`a`</think>",
    "{:}</think>",
    '{ "x": "y" "',
]


@pytest.fixture(scope="module")
def kind():
    return resolve("say", Output("value", annotation="int"), {})


@pytest.mark.parametrize("loop", LOOPS)
def test_a_model_in_a_loop_is_refused_soon(kind, loop):
    began = time.process_time()
    with pytest.raises(OutputError):
        kind.parse(loop * (MOST // len(loop)))
    assert (
        time.process_time() - began < 4
    )  # at most 0.3 s; brackets alone took 3 s, four times as long for twice as many


def test_broken_json_is_mended_as_before(kind):
    assert kind.parse("Here: {'value': 3,}") == (3, "broken JSON")
    deep = "(" * 90
    assert kind.parse(f"{{'value': 4, // {deep}\n}}")[0] == 4
