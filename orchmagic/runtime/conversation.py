"""A conversation (`--thread`): what a run is sent of its earlier turns, and the turn that the run adds.

A turn is what was said in one run: the user's words, the calls of tools with their results, the questions that a person
answered, and the answer of the run. System messages, judges and steps in between are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from orchmagic.core.portable import spell_tools
from orchmagic.core.tokens import estimated
from orchmagic.language import template
from orchmagic.language.builtin_prompts import SUMMARISE, SUMMARY_ASKED
from orchmagic.models.types import ModelRequest
from orchmagic.trace.events import NodeFinished, NodeStarted

if TYPE_CHECKING:
    from orchmagic.graph.model import Call, Graph
    from orchmagic.runtime.context import Context

Message: TypeAlias = Mapping[str, Any]
Turn: TypeAlias = tuple[str, Sequence[Message]]
"""A turn with its key in the history."""

_SUMMARISED = 0.75  # of the limit is for whole turns if the older ones are sent as a summary


@dataclass(frozen=True, slots=True)
class Said:
    """Messages of one span of a run. `words` ranks a prompt: 2 if it reads an input, 1 if it reads no step, else 0."""

    kind: Literal["prompt", "tools", "asked"]
    messages: Sequence[Message]
    words: int = 0


def rank(node: Call, messages: Sequence[template.Message], graph: Graph) -> int:
    """Returns `Said.words` of the prompt `messages` of a node. An item, such as a chunk, counts as a step."""
    names = frozenset().union(*(template.names(m.text) for m in messages))
    if names.intersection(graph.inputs):
        return 2
    steps = {n.name for n in graph.nodes} | ({node.each.item} if node.each else set())
    return 1 if names.isdisjoint(steps) else 0


def turn(said: Mapping[str, Said], answering: str) -> list[Message]:
    """Returns a turn without its answer, from what was said by span; `answering` is the step that gave the answer.

    The user's words are the prompt of the answering step. If it only reads other steps, they are the first prompt that
    reads an input or, if none does, the first that reads no step, or the last one.
    """
    prompts = {span: s for span, s in said.items() if s.kind == "prompt"}
    words: list[Message] = []
    if prompts:
        ranks = {span: (p.words, span.partition("#")[0] == answering) for span, p in prompts.items()}
        spans = [span for span in prompts if ranks[span] == max(ranks.values())]
        chosen = _visit(spans[0 if prompts[spans[0]].words else -1])
        words = [m for span in spans if _visit(span) == chosen for m in prompts[span].messages]
    others = (s.messages for s in said.values() if s.kind != "prompt")
    return [*words, *chain.from_iterable(others)]


def _visit(span: str) -> tuple[str, ...]:
    """Returns the visit of a step without the numbers of items: all items of a visit are the user's words."""
    return tuple(part for part in span.split("/") if not part.isdigit())


@dataclass(slots=True)
class Conversation:
    """What the calls of one run are sent of a thread: `turns`, preceded by the `summary` of those `left` out.

    `first` is the key of the first turn that is sent. `summarises`: the turns left out are to be summarised.
    """

    name: str = ""
    turns: Sequence[Message] = ()
    left: Sequence[Message] = ()
    first: str = ""
    summarises: bool = False
    summary: str = ""

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages in order."""
        return [dict(m) for m in (*(summary_turn(self.summary) if self.summary else ()), *self.turns)]

    @classmethod
    def fitting(cls, name: str, turns: Sequence[Turn], most: int | None, *, summarises: bool = False) -> Conversation:
        """The latest turns that together have at most `most` tokens (estimated); None: all of them.

        If the last turn alone has more, its tool calls and results are left out.
        """
        sizes = [_tokens(messages) for _, messages in turns]
        if most is None or sum(sizes) <= most:
            return cls(name, [m for _, messages in turns for m in messages])
        room, start = most * _SUMMARISED if summarises else most, len(turns)
        while start and sum(sizes[start - 1 :]) <= room:
            start -= 1
        kept, left = turns[start:], turns[:start]
        if not kept and _tokens(spoken := _spoken(turns[-1][1])) <= room:
            kept, left = [(turns[-1][0], spoken)], turns
        return cls(
            name,
            [m for _, messages in kept for m in messages],
            [m for _, messages in left for m in messages],
            kept[0][0] if kept else "",
            summarises,
        )


def summary_turn(text: str) -> list[Message]:
    """Returns the two messages that stand for the turns of a summary."""
    return [{"role": "user", "content": SUMMARY_ASKED}, {"role": "assistant", "content": text}]


async def summarise(conversation: Conversation, number: int, ctx: Context) -> None:
    """Asks the model of the run for the summary, if one is wanted; a replay finds it in the journal."""
    if not (conversation.left and conversation.summarises):
        return
    span, defaults = f"(thread)#{number}", ctx.defaults
    said = "\n".join(f"{m['role']}: {_text(m)}" for m in spell_tools(conversation.left))
    messages = ({"role": "system", "content": SUMMARISE}, {"role": "user", "content": said})
    ctx.emit(NodeStarted(span=span, node="(thread)", kind="call", input=messages))
    answer = await ctx.handler(
        ModelRequest(
            call=f"{span}.1",
            model=defaults.model,
            messages=messages,
            max_tokens=defaults.max_tokens,
            fallback=defaults.fallback,
            timeout=defaults.timeout,
            retries=defaults.retries,
            cache="off" if defaults.keep.how == "off" else defaults.cache,
            ttl=defaults.keep.ttl,
        )
    )
    conversation.summary = answer.text
    ctx.emit(NodeFinished(span=span, output=answer.text))


def lines(messages: Sequence[Message]) -> str:
    """Returns messages as text, one a line, tool calls as `tool(arguments)`."""
    return "\n".join(f"{m.get('role')}: {'; '.join(filter(None, (_text(m), *_calls(m))))}" for m in messages)


def _calls(message: Message) -> list[str]:
    return [f"{c['function']['name']}({c['function']['arguments']})" for c in message.get("tool_calls") or ()]


def _text(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "" if content is None else json.dumps(content)


def _spoken(messages: Sequence[Message]) -> list[Message]:
    return [m for m in messages if m.get("role") != "tool" and not m.get("tool_calls")]


def _tokens(messages: Sequence[Message]) -> int:
    return sum(estimated(json.dumps(m, ensure_ascii=False)) for m in messages)
