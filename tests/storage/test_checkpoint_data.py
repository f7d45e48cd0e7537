"""A stored checkpoint is read as data: nothing that it names is imported, built or called."""

import json
import pickle

import ormsgpack
import pytest
from langgraph.types import Interrupt

from orchmagic.storage.checkpoints import UnreadableCheckpointError, serializer


def ext(code, *content):
    return ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(content)))


def nested():
    inside = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", "true")))
    return ormsgpack.packb(
        ormsgpack.Ext(2, ormsgpack.packb(("langgraph.types", "Interrupt", {"value": inside, "id": "1"})))
    )


PLANTED = {
    "a call with one argument": ("msgpack", ext(0, "os", "system", "true")),
    "a call with arguments": ("msgpack", ext(1, "os", "system", ["true"])),
    "a call with named arguments": ("msgpack", ext(2, "subprocess", "run", {"args": "true"})),
    "a method": ("msgpack", ext(3, "datetime", "datetime", "2026-01-01", "fromisoformat")),
    "a pydantic class": ("msgpack", ext(5, "pydantic", "BaseModel", {}, "model_validate_json")),
    "an array": ("msgpack", ext(6, "f8", [1], "C", b"x")),
    "a safe type of LangGraph": ("msgpack", ext(1, "re", "compile", ["(a+)+$", 0])),
    "a call inside an interrupt": ("msgpack", nested()),
    "a pickle": ("pickle", pickle.dumps({"a": 1})),
    "an object in JSON": ("json", json.dumps({"lc": 2, "type": "constructor", "id": ["os", "getcwd"]}).encode()),
    "an unknown type": ("other", b""),
    "no msgpack": ("msgpack", b"\xc1"),
}


@pytest.mark.parametrize("row", PLANTED)
def test_what_is_more_than_data_is_refused(row):
    with pytest.raises(UnreadableCheckpointError):
        serializer().loads_typed(PLANTED[row])


@pytest.mark.parametrize(
    "value", [None, {"a": [1, 2.5, "x", None, True]}, (Interrupt(value={"q": ["?"]}, id="i"),), b"x"]
)
def test_our_own_state_comes_back(value):
    back = serializer().loads_typed(serializer().dumps_typed(value))
    assert back == (list(value) if isinstance(value, tuple) else value)
