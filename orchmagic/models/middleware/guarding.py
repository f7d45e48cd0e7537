"""Checks a request before anything records or sends it, and an answer before anything stores it.

Requests are checked outside tracing, so that the trace shows what was sent. Answers are checked wherever they may be
stored: before the cache and the journal store one, and when either serves one that is older than the rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from orchmagic.errors import GuardBlocked
from orchmagic.guards.guardrails import CheckedText, Guardrails, restore_values
from orchmagic.models.types import Handler, ModelRequest, ModelResponse

_NO_NAME = "a_tool_with_a_covered_name"  # endpoints take letters, digits and underscores only
_Visit: TypeAlias = Callable[[str, str, str], str]  # (text, role, place) -> the new text


class Guarding:
    """Three middlewares with one set of guardrails. The `check_` ones raise GuardBlocked, which has no fallback."""

    def __init__(self, guardrails: Guardrails) -> None:
        self._guardrails = guardrails

    async def check_request(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """Check and redact the request. The outermost middleware: a blocked request reaches no other."""
        values: Mapping[str, str] = {}
        if self._guardrails.apply_to("input"):
            texts: list[CheckedText] = []
            _visit_texts(request, _collect(texts))
            result = await self._guardrails.check_all(texts, "input", request.call)
            if result.texts != tuple(t.text for t in texts):  # the semantic cache must not compare redacted texts
                request = replace(_visit_texts(request, _put(iter(result.texts))), parts=None, frame="")
            values = result.values
        if self._guardrails.apply_to("output"):  # only a whole answer can be checked
            request = replace(request, stream=False)
        answer = await handler(request)
        return _with_values(answer, values, as_json=request.schema is not None) if values else answer

    async def check_response(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """Check and redact the answer: inside each layer that stores answers, outside each that serves them."""
        answer = await self.redact_errors(request, handler)  # a shared call raises the error of another call too
        if not self._guardrails.apply_to("output"):
            return answer
        calls = answer.tool_calls
        texts = [CheckedText(answer.text)]
        for call in calls:
            texts += [
                CheckedText(call.arguments, place=f"tool call {call.name}"),
                CheckedText(call.name, place="name of a tool"),
            ]
        checked = (await self._guardrails.check_all(texts, "output", request.call)).texts
        if checked == tuple(t.text for t in texts):
            return answer
        pairs = zip(calls, checked[1::2], checked[2::2], strict=True)
        calls = tuple(replace(c, arguments=a, name=n if n == c.name else _NO_NAME) for c, a, n in pairs)
        return replace(answer, text=checked[0], tool_calls=calls, logprobs=None)  # logprobs belong to the old text

    async def redact_errors(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """Redact what an error quotes (a refusal, an echo of the request). The innermost middleware."""
        try:
            return await handler(request)
        except GuardBlocked:
            raise  # its text quotes nothing
        except Exception as error:
            if self._guardrails.apply_to("output"):
                redacted = await self._guardrails.redact(str(error), "output")
                if redacted != str(error):
                    error.args = (redacted,)
            raise


def _collect(texts: list[CheckedText]) -> _Visit:
    def visit(text: str, role: str, place: str) -> str:
        texts.append(CheckedText(text, role, place))
        return text

    return visit


def _put(texts: Iterator[str]) -> _Visit:
    return lambda _text, _role, _place: next(texts)


def _visit_texts(request: ModelRequest, visit: _Visit) -> ModelRequest:
    """Replace each text of the request by the result of `visit`, always in the same order."""
    return replace(
        request,
        messages=tuple(_message(m, number, visit) for number, m in enumerate(request.messages, 1)),
        schema=request.schema
        and replace(request.schema, schema=_json(request.schema.schema, "the output's form", visit)),
        tools=tuple(
            replace(
                tool,
                description=visit(tool.description, "system", f"tool {tool.name}"),
                parameters=_json(tool.parameters, f"tool {tool.name}", visit),
            )
            for tool in request.tools
        ),
    )


def _message(message: Mapping[str, Any], number: int, visit: _Visit) -> dict[str, Any]:
    role = str(message.get("role") or "user")
    place = f"message {number}, {role}"
    new = dict(message)
    match message.get("content"):
        case str(text):
            new["content"] = visit(text, role, place)
        case list(parts):
            new["content"] = [_part(part, role, place, visit) for part in parts]
    if calls := message.get("tool_calls"):
        new["tool_calls"] = [_call(call, role, place, visit) for call in calls]
    return new


def _part(part: Any, role: str, place: str, visit: _Visit) -> Any:
    """Visit the text or the image address of a message part; embedded images are not visited."""
    match part:
        case {"text": str(text)}:
            return {**part, "text": visit(text, role, place)}
        case {"image_url": {"url": str(url)} as image} if not url.startswith("data:"):
            return {**part, "image_url": {**image, "url": visit(url, role, f"{place}, address of an image")}}
    return part


def _call(call: Mapping[str, Any], role: str, place: str, visit: _Visit) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": visit(function["arguments"], role, place)}}


def _json(value: Any, place: str, visit: _Visit) -> Any:
    """Visit every text in a JSON value, except its keys, which the author of the cell wrote."""
    if isinstance(value, str):
        return visit(value, "system", place)
    if isinstance(value, Mapping):
        return {key: _json(inner, place, visit) for key, inner in value.items()}
    return [_json(inner, place, visit) for inner in value] if isinstance(value, list) else value


def _with_values(answer: ModelResponse, values: Mapping[str, str], *, as_json: bool) -> ModelResponse:
    """Replace the placeholders in an answer by their values; in JSON the values are escaped."""
    text = restore_values(answer.text, values, _escaped if as_json else str)
    calls = tuple(replace(c, arguments=restore_values(c.arguments, values, _escaped)) for c in answer.tool_calls)
    logprobs = answer.logprobs if text == answer.text else None  # logprobs belong to the old text
    return replace(answer, text=text, tool_calls=calls, logprobs=logprobs)


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
