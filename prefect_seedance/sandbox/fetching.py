"""Download of images by URL, as the provider does it."""

import asyncio
from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

from prefect_seedance.sandbox.fate import Failure
from prefect_seedance.sandbox.outbound import open_client

_MAX_BYTES = 10_000_000
"""Source: contract.md, `image_urls`."""

_TIMEOUT_SECONDS = 20.0
"""Enough for a slow host, and well below the shortest processing time of 40 s."""

_MAX_CONCURRENT = 8
"""Limits connections and memory: each image has at most 10 MB."""

_MESSAGES: Mapping[str, str] = {
    "INVALID_IMAGE_URL": "the image URL cannot be reached",
    "IMAGE_DOWNLOAD_FAILED": "the image could not be downloaded",
    "IMAGE_TOO_LARGE": "the image is larger than 10 MB",
}


class FetchError(Exception):
    """An image cannot be downloaded."""

    def __init__(self, code: str, url: str) -> None:
        super().__init__(code)
        self.failure = Failure(code, f"{_MESSAGES[code]}: {url}")


class Fetcher:
    """Download images over HTTP, and read images hosted by this sandbox without the network."""

    def __init__(self, own_app: ASGIApp) -> None:
        self._outside = open_client(timeout_seconds=_TIMEOUT_SECONDS)
        self._inside = httpx.AsyncClient(transport=httpx.ASGITransport(own_app))
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def fetch(self, url: str, *, origin: str) -> bytes:
        """Return the bytes of an image; URLs that begin with `origin` are the sandbox's own.

        Raises:
            FetchError: The image is unreachable, incomplete or larger than 10 MB.
        """
        client = self._inside if url.startswith(f"{origin}/") else self._outside
        async with self._slots:
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
    image = bytearray()
    async for chunk in response.aiter_bytes():
        image += chunk
        if len(image) > _MAX_BYTES:
            raise FetchError("IMAGE_TOO_LARGE", url)
    return bytes(image)
