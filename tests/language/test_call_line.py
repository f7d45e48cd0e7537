"""A code step that is one call: its function and its arguments, as they are written."""

import pytest

from orchmagic.language.call_line import CallLine, read_call


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("triage()", CallLine("triage", (), (), unpacks=False)),
        ("triage(a + 1, ticket=f(x)[0])", CallLine("triage", ("a + 1",), (("ticket", "f(x)[0]"),), unpacks=False)),
        ("triage(*rest)", CallLine("triage", ("*rest",), (), unpacks=True)),
        ("triage(x=1, **rest)", CallLine("triage", (), (("x", "1"),), unpacks=True)),
        ("triage", None),
        ("triage(x).output", None),
        ("desk.triage(x)", None),
        ("triage(x) or other(x)", None),
    ],
)
def test_a_call_of_a_name_is_read_and_nothing_else(source, call):
    assert read_call(source) == call
