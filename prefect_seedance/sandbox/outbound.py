"""HTTP requests from the sandbox to other hosts."""

import httpx

from prefect_seedance.api.tls import tls_context


def open_client(*, timeout_seconds: float) -> httpx.AsyncClient:
    """Return a client that ignores proxy settings and keeps no idle connections."""
    return httpx.AsyncClient(
        verify=tls_context(),
        timeout=timeout_seconds,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )
