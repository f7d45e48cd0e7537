"""Every question has a beginning and an end in the trace, whatever happens to it."""

import asyncio

import pytest

from orchmagic.errors import ServerFailed
from orchmagic.models.middleware.tracing import Tracing
from orchmagic.models.types import ModelRequest, ModelResponse, ToolCall
from orchmagic.trace.events import CallFailed, CallFinished, CallStarted

REQUEST = ModelRequest(call="extract#2.1", model="small", messages=({"role": "user", "content": "hi"},))


def answering(outcome):
    async def handler(request):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return handler


async def test_a_call_starts_and_finishes_within_its_step():
    said = []
    answer = ModelResponse("hello", model="m-1", provider="p")
    assert await Tracing(said.append)(REQUEST, answering(answer)) is answer
    assert said == [
        CallStarted(call="extract#2.1", span="extract#2", model="small", messages=REQUEST.messages),
        CallFinished(call="extract#2.1", text="hello", model="m-1", provider="p"),
    ]


async def test_an_answer_of_tool_calls_shows_them():
    said = []
    answer = ModelResponse("", tool_calls=(ToolCall("1", "find", '{"id": 3}'),))
    await Tracing(said.append)(REQUEST, answering(answer))
    assert said[-1].text == 'find({"id": 3})'


@pytest.mark.parametrize(
    ("error", "told", "kind"),
    [
        (ServerFailed("500 from host: no"), "500 from host: no", "ServerFailed"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
        (KeyError(), "KeyError", "KeyError"),
    ],
)
async def test_a_failed_call_says_why_and_still_fails(error, told, kind):
    said = []
    with pytest.raises(type(error)):
        await Tracing(said.append)(REQUEST, answering(error))
    assert said[-1] == CallFailed(call="extract#2.1", error=told, error_kind=kind)
