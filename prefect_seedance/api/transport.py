"""HTTP requests with bounded time and size, whose failures are errors of this package."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import httpx

from prefect_seedance.api.urls import parse_url
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError

CONNECT_SECONDS = 10.0

ERRORS: Mapping[type[Exception], type[SeedanceError]] = {
    # Raised before a byte of the request is sent, so no generation can have been started.
    httpx.ConnectError: ConnectionFailedError,
    httpx.ConnectTimeout: ConnectionFailedError,
    httpx.PoolTimeout: ConnectionFailedError,
    httpx.ProxyError: ConnectionFailedError,
    httpx.UnsupportedProtocol: ConnectionFailedError,
    httpx.InvalidURL: ConnectionFailedError,
    # After any other error, the server may have received the request.
    httpx.HTTPError: NoAnswerError,
    httpx.StreamError: NoAnswerError,
    httpx.CookieConflict: NoAnswerError,
    TimeoutError: NoAnswerError,
}
"""The first entry that matches the exception counts."""


MAX_ANSWER_BYTES = 2**20
"""Bound of one answer of the API, which has some hundred bytes. It is recorded whole."""


class Resource(NamedTuple):
    """The response to a GET request.

    Attributes:
        url: The URL after redirects.
        status_code: The HTTP status.
        content: The body; empty unless the status is a success.
    """

    url: str
    status_code: int
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of a success."""
        return httpx.codes.is_success(self.status_code)


async def exchange(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send a request to the API, and return its response with the body.

    Raises:
        ConnectionFailedError: If the API could not be reached.
        NoAnswerError: If no response of at most `MAX_ANSWER_BYTES` arrived within the client's read timeout.
    """
    action = f"{request.method} {request.url}"
    with translated_errors(action):
        async with asyncio.timeout(http.timeout.read):
            response = await http.send(request, stream=True)
            try:
                content = await _read(response, max_bytes=MAX_ANSWER_BYTES)
            finally:
                await response.aclose()
    if len(content) > MAX_ANSWER_BYTES:
        raise NoAnswerError(f"{action}: the answer is larger than {MAX_ANSWER_BYTES:,} bytes")
    headers = httpx.Headers(response.headers)
    headers.pop("Content-Encoding", None)  # the content is decoded
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=content,
        request=request,
        extensions=response.extensions,
    )


async def _read(response: httpx.Response, *, max_bytes: int) -> bytes:
    """Read a body, but of a larger one only ``max_bytes + 1`` bytes."""
    if "," in response.headers.get("Content-Encoding", ""):  # each layer multiplies a chunk by up to 1,000
        raise NoAnswerError(f"GET {response.url}: the response is compressed twice")
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > max_bytes:
            break
    return bytes(content[: max_bytes + 1])


async def fetch(
    url: str, *, max_bytes: int, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None = None
) -> Resource:
    """Fetch a public URL without credentials, following redirects.

    Args:
        url: An http(s) URL.
        max_bytes: Bound of the body. Of a larger body, ``max_bytes + 1`` bytes are returned.
        timeout_seconds: Bound of the whole exchange, redirects and body included.
        transport: Replaces the network, for tests.

    Raises:
        ConnectionFailedError: If the URL is invalid, or its host cannot be reached.
        NoAnswerError: If the response did not arrive whole in time.
    """
    if parse_url(url) is None:
        raise ConnectionFailedError(f"GET {url}: not an http(s) URL")
    with translated_errors(f"GET {url}"):
        async with (
            asyncio.timeout(timeout_seconds),
            httpx.AsyncClient(
                timeout=timeouts(timeout_seconds), follow_redirects=True, transport=transport
            ) as http,
            http.stream("GET", url) as response,
        ):
            content = await _read(response, max_bytes=max_bytes) if response.is_success else b""
            return Resource(str(response.url), response.status_code, content)


@contextmanager
def translated_errors(action: str) -> Iterator[None]:
    """Translate every error of httpx into one of this package.

    The original is not chained, because it holds the request, and the request holds the API key.
    """
    try:
        yield
    except tuple(ERRORS) as error:
        translated = next(ours for theirs, ours in ERRORS.items() if isinstance(error, theirs))
        raise translated(f"{action}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return the error's class and message; httpx leaves the message empty for timeouts."""
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def timeouts(answer_seconds: float) -> httpx.Timeout:
    """Return timeouts that are short for the connection and long for the response.

    Pool, TCP and TLS get at most a quarter each. Together they expire before the whole request does,
    and then it is certain that nothing was sent.
    """
    before_sending = min(CONNECT_SECONDS, answer_seconds / 4)
    return httpx.Timeout(answer_seconds, connect=before_sending, pool=before_sending)
