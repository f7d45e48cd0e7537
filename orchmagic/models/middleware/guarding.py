"""Judge what is asked before anybody sees it, and what is answered before anybody keeps it.

Questions are judged outside tracing, so that the trace shows what was sent. Answers are judged wherever one would be
kept: before the cache stores it, before the run's record does, and when either serves one that is older than the rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from orchmagic.models import Handler, ModelRequest, ModelResponse
from orchmagic.policy import Policy, Text, restored

_See: TypeAlias = Callable[[str, str, str], str]  # (text, role, place) -> the text that takes its place


class Guarding:
    """Two middlewares of one policy. Both raise GuardBlocked; no other model is asked then."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def asking(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """The outermost: what it blocks never reaches any other."""
        values: Mapping[str, str] = {}
        if self._policy.at("input"):
            texts: list[Text] = []
            _through(request, _collect(texts))
            judged = await self._policy.judge(texts, "input", request.call)
            if judged.texts != tuple(t.text for t in texts):  # what is covered is not compared by meaning
                request = replace(_through(request, _put(iter(judged.texts))), parts=None, frame="")
            values = judged.values
        if self._policy.at("output"):  # a piece of an answer cannot be judged
            request = replace(request, stream=False)
        answer = await handler(request)
        return _with_values(answer, values, as_json=request.schema is not None) if values else answer

    async def answering(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """Around whoever keeps answers, and around whoever gives them."""
        answer = await handler(request)
        if not self._policy.at("output"):
            return answer
        texts = [Text(answer.text), *(Text(c.arguments, place=f"tool call {c.name}") for c in answer.tool_calls)]
        judged = (await self._policy.judge(texts, "output", request.call)).texts
        if judged == tuple(t.text for t in texts):
            return answer
        calls = (replace(c, arguments=a) for c, a in zip(answer.tool_calls, judged[1:], strict=True))
        return replace(answer, text=judged[0], tool_calls=tuple(calls), logprobs=None)  # they spell the old text


def _collect(texts: list[Text]) -> _See:
    def see(text: str, role: str, place: str) -> str:
        texts.append(Text(text, role, place))
        return text

    return see


def _put(texts: Iterator[str]) -> _See:
    return lambda _text, _role, _place: next(texts)


def _through(request: ModelRequest, see: _See) -> ModelRequest:
    """The request with every text of it seen, always in the same order."""
    return replace(
        request,
        messages=tuple(_message(m, number, see) for number, m in enumerate(request.messages, 1)),
        schema=request.schema
        and replace(request.schema, schema=_json(request.schema.schema, "the output's form", see)),
        tools=tuple(
            replace(
                tool,
                description=see(tool.description, "system", f"tool {tool.name}"),
                parameters=_json(tool.parameters, f"tool {tool.name}", see),
            )
            for tool in request.tools
        ),
    )


def _message(message: Mapping[str, Any], number: int, see: _See) -> dict[str, Any]:
    role = str(message.get("role") or "user")
    place = f"message {number}, {role}"
    new = dict(message)
    match message.get("content"):
        case str(text):
            new["content"] = see(text, role, place)
        case list(parts):
            new["content"] = [_part(part, role, place, see) for part in parts]
    if calls := message.get("tool_calls"):
        new["tool_calls"] = [_call(call, role, place, see) for call in calls]
    return new


def _part(part: Any, role: str, place: str, see: _See) -> Any:
    """A part that is no text, such as an image, passes unseen."""
    is_text = isinstance(part, Mapping) and isinstance(part.get("text"), str)
    return {**part, "text": see(part["text"], role, place)} if is_text else part


def _call(call: Mapping[str, Any], role: str, place: str, see: _See) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": see(function["arguments"], role, place)}}


def _json(value: Any, place: str, see: _See) -> Any:
    """Every text in a JSON value but its keys; the author of the cell wrote them."""
    if isinstance(value, str):
        return see(value, "system", place)
    if isinstance(value, Mapping):
        return {key: _json(inner, place, see) for key, inner in value.items()}
    return [_json(inner, place, see) for inner in value] if isinstance(value, list) else value


def _with_values(answer: ModelResponse, values: Mapping[str, str], *, as_json: bool) -> ModelResponse:
    """The answer with what its placeholders stand for; inside JSON the values are escaped."""
    text = restored(answer.text, values, _escaped if as_json else str)
    calls = tuple(replace(c, arguments=restored(c.arguments, values, _escaped)) for c in answer.tool_calls)
    same = text == answer.text
    return replace(answer, text=text, tool_calls=calls, logprobs=answer.logprobs if same else None)


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
