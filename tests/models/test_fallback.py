"""The next model is asked when one fails for good, and the trace says why."""

import pytest

from orchmagic.core.portable import FAULTS
from orchmagic.errors import (
    BudgetExceeded,
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    TruncatedReply,
)
from orchmagic.models.middleware.fallback import Fallback
from orchmagic.models.types import ModelRequest, ModelResponse
from orchmagic.models.wire.http_errors import _ERRORS
from orchmagic.trace import audit_lines
from orchmagic.trace.events import FellBack


def request(*models):
    return ModelRequest(call="ask#1.1", model=models[0], messages=(), fallback=models[1:])


class Models:
    """`Models(small=error)` fails for small and answers for every other name."""

    def __init__(self, **errors):
        self.errors = errors
        self.asked = []

    async def __call__(self, request):
        self.asked.append(request.model)
        if request.model in self.errors:
            raise self.errors[request.model]
        return ModelResponse(f"I am {request.model}", model=request.model)


def limited(attempts=1):
    error = RateLimited("429 from host: slow down")
    error.attempts = attempts
    return error


async def test_the_first_choice_needs_no_event():
    models, said = Models(), []
    answer = await Fallback(said.append)(request("small", "large"), models)
    assert answer.text == "I am small"
    assert models.asked == ["small"]
    assert said == []


async def test_the_next_model_answers_and_says_whom_it_stands_for():
    models, said = Models(small=limited(attempts=3)), []
    answer = await Fallback(said.append)(request("small", "large"), models)
    assert answer.text == "I am large"
    reason = "429 from host: slow down (3 attempts)"
    assert said == [FellBack(call="ask#1.1", source="small", target="large", error=reason, error_kind="429")]


async def test_models_are_asked_in_order_and_each_once():
    models, said = Models(small=limited(), large=CallTimeout("no answer")), []
    await Fallback(said.append)(request("small", "small", "large", "small", "tiny"), models)
    assert models.asked == ["small", "large", "tiny"]
    assert [(e.source, e.target, e.error_kind) for e in said] == [
        ("small", "large", "429"),
        ("large", "tiny", "timeout"),
    ]


@pytest.mark.parametrize(
    "kind",
    [RateLimited, ServerFailed, CallTimeout, ConnectionLost, QuotaExhausted, EmptyReply, TruncatedReply, RefusedReply],
)
async def test_each_of_these_reaches_the_next_model(kind):
    models = Models(small=kind("no"))
    assert (await Fallback(lambda _: None)(request("small", "large"), models)).text == "I am large"


@pytest.mark.parametrize("error", [RequestRejected("401"), BudgetExceeded("no money"), ValueError("a bug")])
async def test_none_of_these_reaches_the_next_model(error):
    models, said = Models(small=error), []
    with pytest.raises(type(error)) as caught:
        await Fallback(said.append)(request("small", "large"), models)
    assert caught.value is error
    assert models.asked == ["small"]
    assert said == []


UNUSABLE = {"refusal": RefusedReply, "length": TruncatedReply, "empty": EmptyReply, "connection": ConnectionLost}


@pytest.mark.parametrize(("fault", "error"), [(f, e) for f, (e, _) in _ERRORS.items()] + list(UNUSABLE.items()))
def test_an_error_is_retried_and_falls_back_as_the_table_that_exported_modules_share_says(fault, error):
    assert (error.transient, error.falls_back) == (FAULTS[fault].retried, FAULTS[fault].falls_back)
    assert {*_ERRORS, *UNUSABLE} == FAULTS.keys()


async def test_when_all_fail_the_last_error_names_all_that_were_tried():
    failed = ServerFailed("500 from b: broken", status=500)
    models = Models(small=limited(attempts=2), large=failed)
    with pytest.raises(ServerFailed) as caught:
        await Fallback(lambda _: None)(request("small", "large"), models)
    assert caught.value is failed
    assert str(failed) == (
        "none of 2 models answered: 429 from small after 2 attempts: 429 from host: slow down; "
        "500 from large: 500 from b: broken"
    )


async def test_a_rejected_fallback_tells_what_happened_before():
    models = Models(small=limited(), large=RequestRejected("the key was refused", status=401))
    with pytest.raises(RequestRejected, match=r"429 from small.*; 401 from large: the key was refused"):
        await Fallback(lambda _: None)(request("small", "large", "tiny"), models)
    assert models.asked == ["small", "large"]


async def test_a_single_model_keeps_its_words_and_says_how_often_it_was_tried():
    with pytest.raises(RateLimited) as caught:
        await Fallback(lambda _: None)(request("small"), Models(small=limited(attempts=3)))
    assert str(caught.value) == "429 from host: slow down (3 attempts)"


@pytest.mark.parametrize(
    ("error", "reason", "kind"),
    [
        (ServerFailed("503 from host: joe@x.de", status=503), "503 from host: joe@x.de", "503"),
        (QuotaExhausted("nothing left (402): joe", status=402), "nothing left (402): joe", "402"),
        (RefusedReply("m refused: joe", status=None), "refused reply: m refused: joe", "RefusedReply"),
        (RefusedReply("a filter stopped joe", status=400), "400: a filter stopped joe", "400"),
        (ServerFailed("500 about joe", status=500), "500 about joe", "500"),
    ],
)
async def test_what_failed_is_said_once_and_the_audit_log_quotes_nobody(error, reason, kind):
    said = []
    await Fallback(said.append)(request("small", "large"), Models(small=error))
    assert [event.error for event in said] == [reason]
    assert audit_lines.line(said[0])["why"] == kind
