"""Download a result file, resuming interrupted transfers."""

import asyncio
from types import TracebackType
from typing import BinaryIO, Self

import httpx
import tenacity

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.guarded import GuardedClient
from prefect_seedance.api.transfer import PARTIAL, STALL_BYTES, STALL_SECONDS, Transfer
from prefect_seedance.api.transport import translated_errors
from prefect_seedance.api.urls import parse_url, shown_url
from prefect_seedance.errors import (
    ArchiveError,
    IntegrityError,
    LinkExpiredError,
    NoAnswerError,
    SeedanceError,
    ServerError,
    may_retry_read,
)

_MAX_TRIES = 6
"""Tries in a row that bring the download no further; a line that breaks again and again may still succeed."""

_TIMEOUT_SECONDS = 30.0

_NOT_SERVED = {202, 204, 400, 401, 403, 404, 409, 410, 423, 425}
"""Statuses of a URL that has expired or does not serve the file yet: for an expired signature, Google Cloud
Storage answers 400, others 401, 403, 404 or 410."""


class Downloader:
    """Downloads the files of the API's result URLs, without sending the API key.

    Use as an async context manager, within one event loop.

    Args:
        policy: Which hosts may be read from. Default: public ones.
        transport: Replaces the network, for tests.
    """

    def __init__(
        self, policy: HostPolicy = PUBLIC_HOSTS, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = GuardedClient(policy, timeout_seconds=_TIMEOUT_SECONDS, transport=transport)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def fetch(self, url: str, file: BinaryIO) -> str:
        """Download a URL into a file, and return the SHA-256 in hexadecimal.

        The content of the file is replaced as soon as the server sends any. A server may compress it although
        that is not requested; then it is decoded.

        Raises:
            ForbiddenHostError: If the URL or a redirect leads to a host that may not be read from.
            LinkExpiredError: If the URL is not served, no longer or not yet.
            IntegrityError: If the download stays incomplete, or its encoding is damaged.
            TemporaryFileError: If the file cannot be written.
            ArchiveError: If the URL is invalid, or the file too large for a clip.
            SeedanceError: If the download fails for another reason.
        """
        if parse_url(url) is None:
            raise ArchiveError(f"The result's URL {shown_url(url)!r} is not an http(s) URL")
        try:
            async with asyncio.timeout(STALL_SECONDS) as patience:
                transfer = Transfer(file, patience)
                await self._fetch(url, transfer)
        except TimeoutError:
            raise NoAnswerError(
                f"{shown_url(url)} sent less than {STALL_BYTES // 1000} kB in {STALL_SECONDS:.0f} s"
            ) from None
        return await asyncio.to_thread(transfer.finish)

    async def _fetch(self, url: str, transfer: Transfer) -> None:
        jitter = tenacity.wait_random(0, 0.5)
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_retry_read),
            wait=lambda state: min(10.0, 2.0 ** (transfer.tries - 2)) + jitter(state),
            stop=lambda _: transfer.tries >= _MAX_TRIES,
            sleep=asyncio.sleep,
            reraise=True,
        )
        await tries(self._resume, url, transfer)

    async def _resume(self, url: str, transfer: Transfer) -> None:
        """Download the missing bytes."""
        shown = shown_url(url)
        try:
            with translated_errors(f"GET {shown}"):
                async with self._http.stream(url, headers=transfer.range_headers) as response:
                    if error := _refusal(response, shown):
                        raise error
                    expected = transfer.begin(response)
                    async for chunk in response.aiter_raw():
                        transfer.append(chunk)
            if expected not in (None, transfer.received):
                raise IntegrityError(f"{shown} ended after {transfer.received} of {expected} bytes")
        except SeedanceError:
            transfer.count_try()
            raise


def _refusal(response: httpx.Response, shown: str) -> SeedanceError | None:
    code = response.status_code
    if code in _NOT_SERVED:
        return LinkExpiredError(f"{shown} is not served ({code})")
    if response.is_success or code in PARTIAL:
        return None
    if response.is_server_error or code == httpx.codes.TOO_MANY_REQUESTS:
        return ServerError(f"{shown} could not be fetched ({code})", code=code)
    return ArchiveError(f"{shown} could not be fetched ({code})")
