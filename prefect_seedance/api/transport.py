"""HTTP exchanges whose failures are told in this package's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError

CONNECT_SECONDS = 10.0

ERRORS: Mapping[type[Exception], type[SeedanceError]] = {
    # Failed before a byte of the request had left, so nothing can have been started.
    httpx.ConnectError: ConnectionFailedError,
    httpx.ConnectTimeout: ConnectionFailedError,
    httpx.PoolTimeout: ConnectionFailedError,
    httpx.ProxyError: ConnectionFailedError,
    httpx.UnsupportedProtocol: ConnectionFailedError,
    httpx.InvalidURL: ConnectionFailedError,
    # Everything else may have reached the other side.
    httpx.HTTPError: NoAnswerError,
    httpx.StreamError: NoAnswerError,
    httpx.CookieConflict: NoAnswerError,
    TimeoutError: NoAnswerError,
}
"""Looked up in this order, for the exception's own class and then its bases."""


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Raise this package's error for whatever httpx raises inside.

    The original is not chained: it holds the request, and with it the API key.
    """
    try:
        yield
    except tuple(ERRORS) as error:
        ours = next(ours for theirs, ours in ERRORS.items() if isinstance(error, theirs))
        raise ours(f"{doing}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Say what happened, even where httpx leaves the message empty, as for timeouts."""
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def timeouts(answer_seconds: float) -> httpx.Timeout:
    """Bound connecting and queueing apart from waiting for the answer: only the latter is worth patience.

    Queue, TCP and TLS get a quarter each at most, so that together they end before the whole does:
    then it is known that nothing was sent.
    """
    before_sending = min(CONNECT_SECONDS, answer_seconds / 4)
    return httpx.Timeout(answer_seconds, connect=before_sending, pool=before_sending)


def parsed(url: str) -> httpx.URL | None:
    """Return an http(s) address, or None if nothing could be asked there."""
    try:
        address = httpx.URL(url)
        can_be_asked = address.scheme in {"http", "https"} and address.host and (address.port or 0) < 1 << 16
    except (httpx.InvalidURL, UnicodeError):  # the latter for names that no host can have
        return None
    return address if can_be_asked else None
