"""HTTP exchanges whose failures are told in this package's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError, SetupError

CONNECT_SECONDS = 10.0

ERRORS: Mapping[type[Exception], type[SeedanceError]] = {
    # Failed before a byte of the request had left, so nothing can have been started.
    httpx.ConnectError: ConnectionFailedError,
    httpx.ConnectTimeout: ConnectionFailedError,
    httpx.PoolTimeout: ConnectionFailedError,
    httpx.ProxyError: ConnectionFailedError,
    httpx.UnsupportedProtocol: SetupError,
    httpx.InvalidURL: SetupError,
    # Everything else may have reached the other side.
    httpx.HTTPError: NoAnswerError,
    httpx.StreamError: NoAnswerError,
    TimeoutError: NoAnswerError,
}
"""Looked up in this order, for the exception's own class and then its bases."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
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
    """Bound connecting and queueing apart from waiting for the answer: only the latter is worth patience."""
    return httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
