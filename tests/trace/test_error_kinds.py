"""What kind of error it is comes from the error itself, never from its text: few values, which quote nobody."""

import pytest

from orchmagic.errors import (
    CallTimeout,
    CodeFailed,
    ConnectionLost,
    EmptyReply,
    RateLimited,
    RequestRejected,
    error_kind,
)


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("429 from api.example.com: slow down"), "429"),
        (RequestRejected("OPENAI_API_KEY was refused", status=401), "401"),
        (CallTimeout("small did not answer"), "timeout"),
        (TimeoutError(), "timeout"),
        (ConnectionLost("503 is what it said before"), "connection"),
        (EmptyReply("empty"), "EmptyReply"),
        (caused(CodeFailed("step 'docs' raised", node="docs"), ZeroDivisionError("no")), "ZeroDivisionError"),
        (CodeFailed("ValueError is only quoted here", node="docs"), "CodeFailed"),
        (KeyError("it is 500 years old"), "KeyError"),
    ],
)
def test_an_error_is_of_one_of_few_kinds(error, kind):
    assert error_kind(error) == kind
