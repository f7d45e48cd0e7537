"""What makes openai's client fast: aiohttp's connections under it, and requests whose head is made once.

httpx walks all open connections at each request. Client, redirects, decoding and errors stay openai's and httpx's.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import aiohttp
import httpx2
from openai import AsyncOpenAI
from yarl import URL

from orchmagic.models.wire.urls import on_loopback

if TYPE_CHECKING:
    import ssl

_AT_ONCE = 1000  # connections; this and the next as in openai's client
_IDLE = 5.0  # seconds after which an unused connection is closed
_HEADER = 65536  # bytes of a header
_LARGE = 2**20  # bytes; aiohttp writes a larger body in pieces, if it is a file


class Client(AsyncOpenAI):
    """openai's client for JSON requests: the address and the headers of a path are made once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._first: dict[str, httpx2.Request] = {}  # by path; `_build_request` is openai's and called for each request

    @property
    def user_agent(self) -> str:
        """That of openai's client, which contains the name of the class."""
        return super().user_agent.replace(type(self).__name__, AsyncOpenAI.__name__)

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> httpx2.Request:
        if options.json_data is None or options.files is not None:  # the files and looks of the Batch API
            return super()._build_request(options, retries_taken=retries_taken)
        first = self._first.get(options.url)
        if first is None:
            made = super()._build_request(options, retries_taken=retries_taken)
            first = self._first[options.url] = httpx2.Request(
                made.method, made.url, headers=made.headers, extensions=made.extensions
            )
            del first.headers["Content-Length"]
        body = json.dumps(options.json_data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        request = httpx2.Request(
            first.method,
            first.url,
            headers=first.headers,
            stream=httpx2.ByteStream(body),
            extensions=first.extensions,
        )
        request.headers["Content-Length"] = str(len(body))
        return request


def transport(url: str) -> httpx2.AsyncBaseTransport | None:
    """Return the transport for an endpoint; None (httpx's own) if a proxy is set for it.

    Raises:
        OSError, ValueError: the certificates of the environment cannot be read.
    """
    if not on_loopback(url) and getproxies().keys() & {"http", "https", "all"}:
        return None
    return AioTransport(httpx2.create_ssl_context() if url.startswith("https:") else None)


class AioTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one httpx client, on one event loop, without a time limit.

    Raises ConnectError if there is no connection, ReadError if one broke.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        connector = aiohttp.TCPConnector(ssl=context or True, limit=_AT_ONCE, keepalive_timeout=_IDLE)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            max_line_size=_HEADER,
            max_field_size=_HEADER,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the body of the response is read by its reader."""
        body = await request.aread()
        with _as_httpx_errors(request):
            response = await self._session.request(
                request.method,
                _address(str(request.url)),
                headers=request.headers.multi_items(),
                data=io.BytesIO(body) if len(body) > _LARGE else body,
                allow_redirects=False,
            )
            headers = response.raw_headers
            if _is_short(response):
                return httpx2.Response(response.status, headers=headers, content=await response.read())
        return httpx2.Response(response.status, headers=headers, stream=_Body(response, request))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def __del__(self) -> None:
        """Close what was left open because its event loop has ended; nothing is awaited."""
        closing = self._session.close()
        with suppress(Exception):
            closing.send(None)
        closing.close()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, request: httpx2.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors(self._request):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._response.close()  # a response that was read to its end has released its connection


def _is_short(response: aiohttp.ClientResponse) -> bool:
    """Whether it can be read at once: no stream, and nothing to decode."""
    length = response.content_length
    return length is not None and length <= _LARGE and "Content-Encoding" not in response.headers


@lru_cache(maxsize=64)
def _address(url: str) -> URL:
    """The address without a user, whom httpx has put into a header."""
    return URL(url, encoded=True).with_user(None)


@contextmanager
def _as_httpx_errors(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        raise httpx2.ConnectError(str(getattr(error, "os_error", error)), request=request) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx2.ReadError(str(error) or type(error).__name__, request=request) from error
