"""Requests to the API with bounded time and size, whose failures are errors of this package."""

import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from prefect_seedance.api.bodies import read_body
from prefect_seedance.api.patience import patience
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError
from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

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


_FOREIGN_BYTES = re.compile(r"[:,]?\s*(bytearray\()?b['\"]")
"""Where a message of the HTTP parser begins to repeat what the server sent."""

_CODE = re.compile(r"\[Errno (\d+)\]")

_REASON_CHARACTERS = 200

MAX_ANSWER_BYTES = 2**20
"""Bound of one answer of the API, which has some hundred bytes. It is recorded whole."""


async def exchange(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send a request to the API, and return its response with the body.

    Raises:
        ConnectionFailedError: If the API could not be reached.
        NoAnswerError: If no response of at most `MAX_ANSWER_BYTES` arrived within the client's read timeout.
    """
    action, began_at = f"{request.method} {request.url}", time.monotonic()
    with translated_errors(action):
        async with patience(http.timeout.read):
            response = await http.send(request, stream=True)
            try:
                content = await read_body(response, max_bytes=MAX_ANSWER_BYTES)
            finally:
                await response.aclose()
    _log.debug("%s: %d after %.1f s", action, response.status_code, time.monotonic() - began_at)
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
    """Return the error's class and message, without bytes of the server that the message repeats.

    httpx leaves the message empty for timeouts, and does not say why no connection was accepted.
    """
    name = type(error).__name__
    if isinstance(error, httpx.ConnectError) and (cause := _system_error(error)):
        return f"{name}: {cause}"
    text = _FOREIGN_BYTES.split(str(error), maxsplit=1)[0]
    text = "".join(character for character in text if character.isprintable())[:_REASON_CHARACTERS].strip()
    return f"{name}: {text}" if text else name


def _system_error(error: BaseException) -> str:
    """Return the operating system's message in the innermost cause of an error; empty if there is none."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following and following not in seen:
        seen.append(following)
        group = following.exceptions if isinstance(following, BaseExceptionGroup) else ()
        following = next(iter(group), None) or following.__cause__ or following.__context__
    codes = (
        (each.errno or _joined_code(str(each)), each.strerror)
        for each in reversed(seen)
        if isinstance(each, OSError) and not isinstance(each, ssl.SSLError)  # whose codes are OpenSSL's
    )
    # Python's own text for an error of the system may be an address; resolvers have negative codes.
    texts = (os.strerror(code) if code > 0 else text for code, text in codes if code)
    return next((text for text in texts if text), "")


def _joined_code(text: str) -> int:
    """Return the system's first error code in a text, as asyncio joins the errors of several addresses."""
    found = _CODE.search(text)
    return int(found[1]) if found else 0


def timeouts(answer_seconds: float) -> httpx.Timeout:
    """Return timeouts that are short for the connection and long for the response.

    Pool, TCP and TLS get at most a quarter each. Together they expire before the whole request does,
    and then it is certain that nothing was sent.
    """
    before_sending = min(CONNECT_SECONDS, answer_seconds / 4)
    return httpx.Timeout(answer_seconds, connect=before_sending, pool=before_sending)
