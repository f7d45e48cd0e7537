"""Judge what is asked before anybody sees it, and what is answered before anybody keeps it.

Questions are judged outside tracing, so that the trace shows what was sent. Answers are judged wherever one would be
kept: before the cache stores it, before the run's record does, and when either serves one that is older than the rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from orchmagic.errors import GuardBlocked
from orchmagic.guards.policy import CheckedText, Guardrails, restored
from orchmagic.models.types import Handler, ModelRequest, ModelResponse

_NO_NAME = "a_tool_with_a_covered_name"  # endpoints take letters, digits and underscores only
_See: TypeAlias = Callable[[str, str, str], str]  # (text, role, place) -> the text that takes its place


class Guarding:
    """Three middlewares of one policy. Two raise GuardBlocked; no other model is asked then."""

    def __init__(self, policy: Guardrails) -> None:
        self._policy = policy

    async def asking(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """The outermost: what it blocks never reaches any other."""
        values: Mapping[str, str] = {}
        if self._policy.at("input"):
            texts: list[CheckedText] = []
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
        answer = await self.failing(request, handler)  # one that flies with others shares their error
        if not self._policy.at("output"):
            return answer
        calls = answer.tool_calls
        texts = [CheckedText(answer.text)]
        for call in calls:
            texts += [
                CheckedText(call.arguments, place=f"tool call {call.name}"),
                CheckedText(call.name, place="name of a tool"),
            ]
        judged = (await self._policy.judge(texts, "output", request.call)).texts
        if judged == tuple(t.text for t in texts):
            return answer
        pairs = zip(calls, judged[1::2], judged[2::2], strict=True)
        calls = tuple(replace(c, arguments=a, name=n if n == c.name else _NO_NAME) for c, a, n in pairs)
        return replace(answer, text=judged[0], tool_calls=calls, logprobs=None)  # they spell the old text

    async def failing(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """The innermost: what an endpoint says in an error (its refusal, an echo of the question) is covered."""
        try:
            return await handler(request)
        except GuardBlocked:
            raise  # it tells nothing
        except Exception as error:
            if self._policy.at("output"):
                told = await self._policy.covered(str(error), "output")
                if told != str(error):
                    error.args = (told,)
            raise


def _collect(texts: list[CheckedText]) -> _See:
    def see(text: str, role: str, place: str) -> str:
        texts.append(CheckedText(text, role, place))
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
    """An image passes unseen, but for its address."""
    match part:
        case {"text": str(text)}:
            return {**part, "text": see(text, role, place)}
        case {"image_url": {"url": str(url)} as image} if not url.startswith("data:"):
            return {**part, "image_url": {**image, "url": see(url, role, f"{place}, address of an image")}}
    return part


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
