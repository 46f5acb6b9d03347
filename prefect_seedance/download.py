"""Fetch a result's file into an open file, resuming where a transfer broke."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

import httpx
import tenacity

from prefect_seedance.errors import (
    ArchiveError,
    IntegrityError,
    LinkExpiredError,
    SeedanceError,
    ServerError,
    may_repeat_read,
)
from prefect_seedance.transport import timeouts, translated

_TRANSFERS = 8
"""Files under way at once: enough to fill a line, few enough that each is done soon."""

_TRIES = 6
_CHUNK_BYTES = 1 << 18
_SILENCE_SECONDS = 30.0
_LARGEST_BYTES = 4 << 30
"""No clip comes near it; a stream without end would fill the disk."""

_GONE = {401, 403, 404, 410}


@dataclass
class _Transfer:
    """A file that grows, with the digest of what has arrived."""

    file: BinaryIO
    received: int = 0
    validator: str = ""
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received = 0
        self.digest = hashlib.sha256()

    def take(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.digest.update(chunk)
        self.received += len(chunk)
        if self.received > _LARGEST_BYTES:
            raise ArchiveError(f"The result is larger than {_LARGEST_BYTES} bytes, which no clip is")

    @property
    def range_headers(self) -> dict[str, str]:
        """Ask for what is missing, provided that the file is still the same."""
        if not self.received or not self.validator:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self.validator}


class Downloader:
    """Fetches files from wherever the API's results point, without the API's key.

    Use as an async context manager, within one event loop.
    """

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._gate = asyncio.Semaphore(_TRANSFERS)
        self._http = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},  # so that lengths are those of the file
            timeout=timeouts(_SILENCE_SECONDS),
            limits=httpx.Limits(max_connections=_TRANSFERS),
            follow_redirects=True,  # harmless here: no key travels with it
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, url: str, file: BinaryIO) -> str:
        """Write what a URL serves into a file, from its beginning, and return its SHA-256 in hex.

        Raises:
            LinkExpiredError: If the URL is no longer served.
            IntegrityError: If the file stays incomplete.
            SeedanceError: If it cannot be fetched for another reason.
        """
        transfer = _Transfer(file)
        transfer.restart()
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_repeat_read),
            wait=tenacity.wait_exponential_jitter(initial=0.5, max=10, jitter=0.5),
            stop=tenacity.stop_after_attempt(_TRIES),
            sleep=asyncio.sleep,
            reraise=True,
        )
        async with self._gate:
            await tries(self._resume, url, transfer)
        return transfer.digest.hexdigest()

    async def _resume(self, url: str, transfer: _Transfer) -> None:
        """Fetch what is still missing."""
        shown = url.partition("?")[0]  # what follows may be a signature
        with translated(f"GET {shown}"):
            async with self._http.stream("GET", url, headers=transfer.range_headers) as response:
                if error := _refusal(response, shown):
                    raise error
                if not _continues(response, transfer):
                    transfer.restart()
                    transfer.validator = _validator(response)
                length = response.headers.get("Content-Length")
                expected = transfer.received + int(length) if length else None
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    transfer.take(chunk)
        if expected not in (None, transfer.received):
            raise IntegrityError(f"{shown} ended after {transfer.received} of {expected} bytes")


def _continues(response: httpx.Response, transfer: _Transfer) -> bool:
    """Tell whether the answer begins where the transfer broke off; otherwise it is the whole file."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    if not response.headers.get("Content-Range", "").startswith(f"bytes {transfer.received}-"):
        transfer.restart()
        raise IntegrityError("The server sent another part of the file than it was asked for")
    return True


def _validator(response: httpx.Response) -> str:
    """Return what identifies these bytes, if anything does; a weak tag does not."""
    tag = response.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")


def _refusal(response: httpx.Response, shown: str) -> SeedanceError | None:
    code = response.status_code
    if response.is_success:
        return None
    if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return IntegrityError(f"{shown} is shorter than what was received of it")
    if code in _GONE:
        return LinkExpiredError(f"{shown} is no longer served ({code})")
    if response.is_server_error or code == httpx.codes.TOO_MANY_REQUESTS:
        return ServerError(f"{shown} could not be fetched ({code})", code=code)
    return ArchiveError(f"{shown} could not be fetched ({code})")
