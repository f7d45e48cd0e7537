"""The provider for every OpenAI-compatible endpoint. It raises ModelErrors and never retries.

Bodies are plain JSON data (`models.wire`), because endpoints send fields that the typed client lacks.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from orchmagic.core.portable import status_of
from orchmagic.core.redaction import KeyValues
from orchmagic.errors import ModelError, RequestRejected, SettingsError, nearest
from orchmagic.models import ProviderPlug
from orchmagic.models.pricing import price_list, prices
from orchmagic.models.providers._openai_batches import OpenAIBatches
from orchmagic.models.providers._openai_errors import translated
from orchmagic.models.routing import api_keys
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse
from orchmagic.models.wire import chat_completions, http_errors, server_sent
from orchmagic.models.wire.urls import KEY_ENV, at_openai, base, is_address, on_loopback, shown
from orchmagic.trace.events import TextStreamed

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI
    from openai._types import RequestOptions

_PATH = "/chat/completions"
_OPTIONS: RequestOptions = {  # what openai's client takes for itself; each that is missing it copies for each request
    "headers": {},
    "max_retries": 0,
    "timeout": None,
    "idempotency_key": "",
    "security": {"bearer_auth": True, "admin_api_key_auth": True},
}


class OpenAIProvider:
    """Keeps one client for each endpoint, key and event loop. `key` replaces the one in the environment."""

    def __init__(self, *, key: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._own_key = key
        self._environ = os.environ if environ is None else environ
        self._clients: dict[tuple[asyncio.AbstractEventLoop, str, str], AsyncOpenAI] = {}

    async def complete(self, request: ModelRequest, deployment: Deployment, emit: Emit) -> ModelResponse:
        """Make one attempt. `request.timeout` (seconds) bounds it all, from connecting to the last byte."""
        deployment = self._addressed(deployment)
        key = self._key(deployment)
        client = self._client(deployment, key)
        body = chat_completions.body(request, deployment)
        try:
            async with asyncio.timeout(request.timeout):
                answer = await _ask(client, body, request.call, deployment, emit)
        except TimeoutError:
            raise http_errors.late(deployment, request.timeout) from None
        except ModelError as error:  # without its cause, whose request holds the key
            if isinstance(error, RequestRejected) and error.status == HTTPStatus.NOT_FOUND:
                error.args = (f"{error}{_nearest_model(deployment)}",)
            raise http_errors.without(error, key) from None
        answer = KeyValues([key]).clean(answer)  # an endpoint may echo the request's headers
        return chat_completions.usable(answer, offered=bool(request.tools))

    def batches(self, deployment: Deployment) -> OpenAIBatches:
        """The Batch API of the deployment's endpoint."""
        deployment = self._addressed(deployment)
        key = self._key(deployment)
        return OpenAIBatches(self._client(deployment, key), deployment, key)

    async def close(self) -> None:
        """Close the clients of this event loop; others end with their loop."""
        here = asyncio.get_running_loop()
        mine = [place for place in self._clients if place[0] is here]
        for client in [self._clients.pop(place) for place in mine]:
            await client.close()

    def _addressed(self, deployment: Deployment) -> Deployment:
        return deployment if deployment.base_url else replace(deployment, base_url=base(self._environ))

    def _key(self, deployment: Deployment) -> str:
        name = deployment.key_env or KEY_ENV
        key = (self._own_key or self._environ.get(name, "")).strip()
        if not (key.isascii() and key.isprintable() and " " not in key):
            what = "a space, a line end or a letter that no key has, such as a long dash"
            raise SettingsError(f"{name} holds {what}: copy the key again (it is not shown)")
        if key:
            return key
        url = str(deployment.base_url)
        if on_loopback(url):
            return "none"
        raise SettingsError(f'{name} is not set: set it to the key for {shown(url)}, or write model "local"')

    def _client(self, deployment: Deployment, key: str) -> AsyncOpenAI:
        place = (asyncio.get_running_loop(), str(deployment.base_url), key)
        if place not in self._clients:
            for ended in [other for other in self._clients if other[0].is_closed()]:
                del self._clients[ended]
            self._clients[place] = _connect(deployment, key)
        return self._clients[place]


def _connect(deployment: Deployment, key: str) -> AsyncOpenAI:
    from httpx2 import InvalidURL  # noqa: PLC0415 - comes with openai
    from openai import DefaultAsyncHttpxClient  # noqa: PLC0415 - heavy: at the first call

    from orchmagic.models.wire import connections  # noqa: PLC0415 - heavy

    url = str(deployment.base_url)
    no_address = SettingsError(f"base_url {shown(url)!r} is no address: write one such as http://127.0.0.1:8080/v1")
    if not is_address(url):
        raise no_address
    try:
        # no proxy for this machine; no timeout in the client, since `complete` sets one
        http = DefaultAsyncHttpxClient(
            transport=connections.transport(url),
            trust_env=not on_loopback(url),
            timeout=None,
            event_hooks={"response": [_same_server(deployment)]},
        )
    except (OSError, ValueError, ImportError, InvalidURL) as error:  # certificates and proxies of the environment
        raise http_errors.no_way(deployment, f"{type(error).__name__}: {error}") from None
    try:
        client = connections.Client(base_url=url, api_key=key, max_retries=0, timeout=None, http_client=http)
    except InvalidURL:
        raise no_address from None
    if not at_openai(url):  # OPENAI_ORG_ID and OPENAI_PROJECT_ID are OpenAI's business
        client.organization = client.project = None
    return client


def _same_server(deployment: Deployment) -> Callable[[Response], Awaitable[None]]:
    """A check of every response: a redirect is followed on the same scheme, host and port only."""

    async def check(response: Response) -> None:
        if response.has_redirect_location:
            target = response.url.join(response.headers["location"])
            here = response.url
            if (target.scheme, target.host, target.port) != (here.scheme, here.host, here.port):
                raise http_errors.redirected(deployment, response.status_code, str(target))

    return check


def _nearest_model(deployment: Deployment) -> str:
    """`; did you mean 'gpt-4'?` for a model that the price list lacks but that has a name close to one in it."""
    known = price_list.model_names(str(deployment.base_url))
    return "" if deployment.model in known else nearest(deployment.model, known)


async def _ask(
    client: AsyncOpenAI, body: Mapping[str, Any], call: str, deployment: Deployment, emit: Emit
) -> ModelResponse:
    with translated(deployment):
        if body.get("stream"):
            answer = await _stream(client, body, call, deployment, emit)
        else:
            answer = await _complete(client, body, deployment)
        return prices.priced_answer(answer, deployment, body)


async def _complete(client: AsyncOpenAI, body: Mapping[str, Any], deployment: Deployment) -> Mapping[str, Any]:
    from httpx2 import Response  # noqa: PLC0415 - comes with openai

    response = await client.post(_PATH, cast_to=Response, body=body, options=_OPTIONS)
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise http_errors.garbled(deployment, response.status_code, response.text[:200]) from None
    if error := chat_completions.error_in(answer):  # some routers report errors with status 200
        raise http_errors.rejected(deployment, status_of(error), error)
    if not isinstance(answer.get("choices"), list):
        raise http_errors.garbled(deployment, response.status_code, response.text[:200])
    return answer  # type: ignore[no-any-return]  # a mapping: it has `get`


async def _stream(
    client: AsyncOpenAI, body: Mapping[str, Any], call: str, deployment: Deployment, emit: Emit
) -> Mapping[str, Any]:
    from httpx2 import RequestError, TimeoutException  # noqa: PLC0415 - comes with openai
    from openai import AsyncStream  # noqa: PLC0415 - heavy

    parts = chat_completions.Assembly()
    stream = await client.post(
        _PATH, cast_to=object, body=body, options=_OPTIONS, stream=True, stream_cls=AsyncStream[object]
    )
    async with stream:
        try:
            async for data in _events(stream.response):
                text = parts.add(_chunk(data, deployment)) if data != server_sent.DONE else parts.done()
                if text:
                    emit(TextStreamed(call=call, text=text))
        except TimeoutException:  # a time limit of the system, before ours
            raise http_errors.late(deployment, None) from None
        except RequestError as error:
            if not parts.ended:
                raise http_errors.lost(deployment, str(error) or type(error).__name__) from error
    if not parts.ended:
        raise http_errors.lost(deployment, "the stream ended before the answer did")
    return parts.whole()


async def _events(response: Response) -> AsyncIterator[str]:
    events = server_sent.Events()
    async for piece in response.aiter_bytes():  # to the end, so that the connection serves again
        for data in events.add(piece):
            yield data
    for data in events.end():
        yield data


def _chunk(data: str, deployment: Deployment) -> Mapping[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, Mapping):
        return {}
    if error := chat_completions.error_in(chunk):
        raise http_errors.rejected(deployment, status_of(error), error)
    return chunk


plug = ProviderPlug("openai", lambda: OpenAIProvider(environ=api_keys.key_environment()), batches=True)
