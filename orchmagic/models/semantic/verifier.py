"""Asks a model whether a semantic hit is right. It may only veto: an unreadable reply or a failure is a veto too."""

from __future__ import annotations

from orchmagic.models.types import ModelRequest, Schema

_PROMPT = """\
Do these two questions ask the same thing, so that one answer is right for both?

First: {one}
Second: {other}

Reply {{"same": true}} or {{"same": false}}."""

_SCHEMA = Schema(
    "verdict",
    {
        "type": "object",
        "properties": {"same": {"type": "boolean"}},
        "required": ["same"],
        "additionalProperties": False,
    },
)
_TOKENS = 32  # enough for the object and a few extra words


def request(asked: ModelRequest, verifier: str, one: str, other: str) -> ModelRequest:
    """The request to the verifier. It has the id of the call whose hit it checks, so its cost counts for that call."""
    text = _PROMPT.format(one=one, other=other)
    return ModelRequest(
        asked.call,
        verifier,
        ({"role": "user", "content": text},),
        parameters={"temperature": 0},
        max_tokens=_TOKENS,
        schema=_SCHEMA,
        timeout=asked.timeout,
        cache=asked.cache,
        ttl=asked.ttl,
        retries=asked.retries,
    )


def says_same(reply: str) -> bool:
    """Whether the reply is a plain yes."""
    return reply.strip().replace(" ", "").replace("\n", "").lower() in {'{"same":true}', "true", "yes"}
