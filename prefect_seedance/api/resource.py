"""Fetch a small file at a URL from outside."""

import asyncio
from typing import NamedTuple

import httpx

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.bodies import read_body
from prefect_seedance.api.guarded import GuardedClient
from prefect_seedance.api.transport import translated_errors
from prefect_seedance.api.urls import parse_url, shown_url
from prefect_seedance.errors import ConnectionFailedError


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


async def fetch(
    url: str,
    *,
    policy: HostPolicy,
    max_bytes: int,
    timeout_seconds: float,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Resource:
    """Fetch a URL from outside without credentials, following redirects.

    Args:
        url: An http(s) URL.
        policy: Which hosts may be read from.
        max_bytes: Bound of the body. Of a larger body, ``max_bytes + 1`` bytes are returned.
        timeout_seconds: Bound of the whole exchange, redirects and body included.
        transport: Replaces the network, for tests.

    Raises:
        ForbiddenHostError: If the URL or a redirect leads to a host that may not be read from.
        ConnectionFailedError: If the URL is invalid, or its host cannot be reached.
        NoAnswerError: If the response did not arrive whole in time.
    """
    action = f"GET {shown_url(url)}"
    if parse_url(url) is None:
        raise ConnectionFailedError(f"{action}: not an http(s) URL")
    with translated_errors(action):
        async with (
            asyncio.timeout(timeout_seconds),
            GuardedClient(policy, timeout_seconds=timeout_seconds, transport=transport) as http,
            http.stream(url) as response,
        ):
            content = await read_body(response, max_bytes=max_bytes) if response.is_success else b""
            return Resource(str(response.url), response.status_code, content)
