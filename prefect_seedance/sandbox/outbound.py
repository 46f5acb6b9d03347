"""HTTP from the sandbox to others."""

import functools
import ssl

import httpx


@functools.cache
def _tls() -> ssl.SSLContext:
    """Load the certificates once, for that takes longer than everything else at the start."""
    return httpx.create_ssl_context()


def open_client(*, timeout_seconds: float) -> httpx.AsyncClient:
    """Return a client that goes straight to its host, and leaves no connection open behind it."""
    return httpx.AsyncClient(
        verify=_tls(),
        timeout=timeout_seconds,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )
