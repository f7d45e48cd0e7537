"""Which deployments can do what a request needs: see, use tools, hold a long text. What cannot is never asked."""

from __future__ import annotations

from orchmagic.errors import NoDeployment
from orchmagic.models import images
from orchmagic.models.types import Deployment, ModelRequest, Pool
from orchmagic.models.wire import chat_completions


def fit(pool: Pool, request: ModelRequest) -> tuple[Deployment, ...]:
    """The members that can do what the request needs.

    Raises:
        NoDeployment: none can; says what each lacks.
    """
    lacks = {m.alias: _lack(m, request) for m in pool.members}
    found = tuple(m for m in pool.members if not lacks[m.alias])
    if not found:
        why = "; ".join(f"{name} {lack}" for name, lack in lacks.items())
        raise NoDeployment(f"no deployment of {pool.alias!r} can answer this: {why}", model=pool.alias)
    return found


def _lack(member: Deployment, request: ModelRequest) -> str:
    if not member.vision and images.inside(request.messages):
        return "takes no images"
    if member.tools == "none" and request.tools:
        return "takes no tools"
    tokens = prompt_tokens(request) + request.max_tokens
    if member.context is not None and tokens > member.context:
        return f"has a context of {member.context:,} tokens, and question and answer may take {tokens:,}"
    return ""


def prompt_tokens(request: ModelRequest) -> int:
    """Tokens of the question, estimated."""
    return sum(
        chat_completions.count(chat_completions.spoken(m)) for m in request.messages
    ) + images.TOKENS * images.inside(request.messages)


def alike(pool: Pool) -> tuple[Deployment, ...]:
    """Members whose stored answers stand for each other: all, but in an ordered list only those of its first model.

    There the later ones stand in, and what they answered is not served once the first is back.
    """
    if pool.policy != "order":
        return pool.members
    return tuple(m for m in pool.members if m.model == pool.members[0].model)
