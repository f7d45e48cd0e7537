"""How much of one value a notebook saves."""

import json

import pytest

from orchmagic.views import bundle
from orchmagic.views.truncate import bound

LONG = {
    "a text": "x" * 100_000,
    "a list": ["word"] * 20_000,
    "a dict": {str(n): "word" for n in range(20_000)},
    "lists in a list": [[1_234_567] * 45] * 45,  # each of them is short enough
}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_a_long_value_is_cut_to_two_thousand_bytes_wherever_it_stands(notebook, value):
    notebook.script(lambda _: "y" * 100_000)
    record = notebook.run("%%chain\nkeep = value\nx\n    Hi\n", value=value).record
    saved = bound(record)
    values = [*saved.inputs.values(), saved.output, *(v for s in saved.spans for v in (s.input, s.output))]
    assert max(len(json.dumps(v, ensure_ascii=False)) for v in values) <= 2_100
    assert len(json.dumps(bundle(record), default=str)) < 60_000
