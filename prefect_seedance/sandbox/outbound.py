"""HTTP requests from the sandbox to other hosts."""

import functools
import ssl

import httpx


@functools.cache
def _tls() -> ssl.SSLContext:
    """Load the certificates once; it is the slowest step of starting a sandbox."""
    return httpx.create_ssl_context()


def open_client(*, timeout_seconds: float) -> httpx.AsyncClient:
    """Return a client that ignores proxy settings and keeps no idle connections."""
    return httpx.AsyncClient(
        verify=_tls(),
        timeout=timeout_seconds,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )
