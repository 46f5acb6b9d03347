"""Download of images, videos and audio files by URL, as the provider does it."""

import asyncio
from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

from prefect_seedance.sandbox.fate import Failure
from prefect_seedance.sandbox.outbound import open_client

MAX_IMAGE_BYTES = 10_000_000
"""Source: contract.md, `image_urls`."""

_TIMEOUT_SECONDS = 20.0
"""Enough for a slow host, and well below the shortest processing time of 40 s."""

_MAX_CONCURRENT = 8
"""Limits connections and memory."""

_MESSAGES: Mapping[str, str] = {
    "INVALID_IMAGE_URL": "the URL of the file cannot be reached",
    "IMAGE_DOWNLOAD_FAILED": "the file could not be downloaded",
    "IMAGE_TOO_LARGE": "the file is too large",
}


class FetchError(Exception):
    """A file cannot be downloaded."""

    def __init__(self, code: str, url: str) -> None:
        super().__init__(code)
        self.failure = Failure(code, f"{_MESSAGES[code]}: {url}")


class Fetcher:
    """Download files over HTTP, and read those hosted by this sandbox without the network."""

    def __init__(self, own_app: ASGIApp) -> None:
        self._outside = open_client(timeout_seconds=_TIMEOUT_SECONDS)
        self._inside = httpx.AsyncClient(transport=httpx.ASGITransport(own_app))
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def fetch(self, url: str, *, origin: str, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the bytes of a file; URLs that begin with `origin` are the sandbox's own.

        Raises:
            FetchError: The file is unreachable, incomplete or too large.
        """
        client = self._inside if url.startswith(f"{origin}/") else self._outside
        async with self._slots:
            try:
                async with (
                    asyncio.timeout(_TIMEOUT_SECONDS),
                    client.stream("GET", url, follow_redirects=True) as response,
                ):
                    return await _read(response, url, max_bytes=max_bytes)
            except (
                httpx.ConnectError,
                httpx.InvalidURL,
                httpx.UnsupportedProtocol,
                httpx.TooManyRedirects,
            ) as error:
                raise FetchError("INVALID_IMAGE_URL", url) from error
            except (httpx.HTTPError, TimeoutError) as error:
                raise FetchError("IMAGE_DOWNLOAD_FAILED", url) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._outside.aclose()
        await self._inside.aclose()


async def _read(response: httpx.Response, url: str, *, max_bytes: int) -> bytes:
    if response.is_client_error:
        raise FetchError("INVALID_IMAGE_URL", url)
    response.raise_for_status()
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > max_bytes:
            raise FetchError("IMAGE_TOO_LARGE", url)
    return bytes(content)
