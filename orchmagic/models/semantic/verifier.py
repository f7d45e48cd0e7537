"""A second look at a hit by a model. It may only veto: a reply that cannot be read is a veto, and so is a failure."""

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
_TOKENS = 32  # room for the object and for a model that says a word too much


def request(asked: ModelRequest, verifier: str, one: str, other: str) -> ModelRequest:
    """The question to the verifier, in the name of the call whose hit it judges: its cost is that call's."""
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
    """Only a plain yes counts."""
    return reply.strip().replace(" ", "").replace("\n", "").lower() in {'{"same":true}', "true", "yes"}
