"""Images fetched from their URLs, the way the provider would."""

import asyncio
from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

from prefect_seedance.sandbox.fate import Failure
from prefect_seedance.sandbox.outbound import open_client

# Source: contract.md, `image_urls`.
_MAX_BYTES = 10_000_000

# Long enough for a slow host, short beside the shortest processing time.
_TIMEOUT_SECONDS = 20.0

# Bounds both connections and memory: this many images of at most 10 MB at a time.
_AT_ONCE = 8

_WORDS: Mapping[str, str] = {
    "INVALID_IMAGE_URL": "the image cannot be reached",
    "IMAGE_DOWNLOAD_FAILED": "the image could not be downloaded",
    "IMAGE_TOO_LARGE": "the image has more than 10 MB",
}


class FetchError(Exception):
    """An image could not be had."""

    def __init__(self, code: str, url: str) -> None:
        super().__init__(code)
        self.failure = Failure(code, f"{_WORDS[code]}: {url}")


class Fetcher:
    """Reads images over HTTP; those that the sandbox itself hosts without a detour through the network."""

    def __init__(self, own_app: ASGIApp) -> None:
        self._outside = open_client(timeout_seconds=_TIMEOUT_SECONDS)
        self._inside = httpx.AsyncClient(transport=httpx.ASGITransport(own_app))
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str, *, origin: str) -> bytes:
        """Return the bytes behind a URL; those that begin with `origin` are the sandbox's own.

        Raises:
            FetchError: Unreachable, broken off, or larger than the API takes.
        """
        client = self._inside if url.startswith(f"{origin}/") else self._outside
        async with self._gate:
            try:
                async with (
                    asyncio.timeout(_TIMEOUT_SECONDS),
                    client.stream("GET", url, follow_redirects=True) as response,
                ):
                    return await _read(response, url)
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


async def _read(response: httpx.Response, url: str) -> bytes:
    if response.is_client_error:
        raise FetchError("INVALID_IMAGE_URL", url)
    response.raise_for_status()
    picture = bytearray()
    async for chunk in response.aiter_bytes():
        picture += chunk
        if len(picture) > _MAX_BYTES:
            raise FetchError("IMAGE_TOO_LARGE", url)
    return bytes(picture)
