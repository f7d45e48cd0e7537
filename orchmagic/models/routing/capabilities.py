"""Selects the deployments that support what a request needs (images, tools, a long context); others are not called."""

from __future__ import annotations

from orchmagic.errors import NoDeployment
from orchmagic.models import images
from orchmagic.models.types import Deployment, ModelRequest, Pool
from orchmagic.models.wire.chat_completions import prompt_tokens


def capable(pool: Pool, request: ModelRequest) -> tuple[Deployment, ...]:
    """The members of a pool that support what the request needs.

    Raises:
        NoDeployment: no member does; says why for each.
    """
    missing = {m.alias: _missing(m, request) for m in pool.members}
    members = tuple(m for m in pool.members if not missing[m.alias])
    if not members:
        why = "; ".join(f"{name} {reason}" for name, reason in missing.items())
        raise NoDeployment(f"no deployment of {pool.alias!r} can answer this: {why}", model=pool.alias)
    return members


def _missing(member: Deployment, request: ModelRequest) -> str:
    if not member.vision and images.inside(request.messages):
        return "takes no images"
    if member.tools == "none" and request.tools:
        return "takes no tools"
    tokens = prompt_tokens(request.messages) + request.max_tokens
    if member.context is not None and tokens > member.context:
        return f"has a context of {member.context:,} tokens, and question and answer may take {tokens:,}"
    return ""


def interchangeable(pool: Pool) -> tuple[Deployment, ...]:
    """The members whose stored answers may be served: all, but with policy "order" only those with the first model.

    There the others are a fallback, whose answers must not be served after the first model works again.
    """
    if pool.policy != "order":
        return pool.members
    return tuple(m for m in pool.members if m.model == pool.members[0].model)
