"""Server-sent events: what counts as one, wherever the pieces of a stream are cut."""

from __future__ import annotations

import pytest

from orchmagic.models.wire.server_sent import DONE, Events

STREAMS = {
    "two events": (b'data: {"a": 1}\n\ndata: {"a": 2}\n\n', ['{"a": 1}', '{"a": 2}']),
    "a ping": (b'event: ping\n\ndata: {"a": 1}\n\n', ['{"a": 1}']),
    "a retry": (b'retry: 3000\n\ndata: {"a": 1}\n\n', ['{"a": 1}']),
    "empty data": (b'data:\n\ndata: \n\ndata: {"a": 1}\n\n', ['{"a": 1}']),
    "a comment with an id": (b': keep-alive\nid: 7\n\ndata: {"a": 1}\n\n', ['{"a": 1}']),
    "no space": (b'data:{"a": 1}\n\n', ['{"a": 1}']),
    "carriage returns": (
        b'data: {"a": 1}\r\n\r\ndata: {"a": 2}\r\rdata: {"a": 3}\r\n\r\n',
        ['{"a": 1}', '{"a": 2}', '{"a": 3}'],
    ),
    "two lines of data": (b'data: {"a":\ndata: 1}\n\n', ['{"a":\n1}']),
    "other line ends inside": ('data: {"a": "\u2028\x85é"}\n\n'.encode(), ['{"a": "\u2028\x85é"}']),
    "an end": (b"data: [DONE]\n\n", [DONE]),
    "an end with more": (b"data: [DONE] \n\n", [DONE]),
    "no blank line at the end": (b'data: {"a": 1}\n', ['{"a": 1}']),
    "no line end at the end": (b'data: {"a": 1}', ['{"a": 1}']),
    "an end without line ends": (b"data: [DONE]", [DONE]),
    "cut off": (b'data: {"a": 1}\n\ndata: {"a": ', ['{"a": 1}']),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_events_of_a_stream_do_not_depend_on_its_pieces(stream, size):
    raw, expected = STREAMS[stream]
    events = Events()
    found = [data for at in range(0, len(raw), size) for data in events.add(raw[at : at + size])]
    assert [*found, *events.end()] == expected


def test_a_long_line_in_small_pieces_takes_linear_time():
    events = Events()
    for _ in range(100_000):
        assert events.add(b"x" * 10) == []
    assert events.end() == []
