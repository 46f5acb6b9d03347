"""Fetch a result's file into an open file, resuming where a transfer broke."""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

import httpx
import tenacity

from prefect_seedance.api.transport import parsed, timeouts, translated_errors
from prefect_seedance.errors import (
    ArchiveError,
    IntegrityError,
    LinkExpiredError,
    SeedanceError,
    ServerError,
    may_retry_read,
)

_TRIES = 6
_SILENCE_SECONDS = 30.0
_LARGEST_BYTES = 4 << 30
"""No clip comes near it; a stream without end would fill the disk."""

_GONE = {400, 401, 403, 404, 410}
"""How storage refuses a signature that has run out; Google's says 400 ExpiredToken."""

_PARTIAL = {httpx.codes.PARTIAL_CONTENT, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE}
_PART = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")


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
        self._http = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},  # so that lengths are those of the file
            timeout=timeouts(_SILENCE_SECONDS),
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
            ArchiveError: If it is no address, or nothing can be written.
            SeedanceError: If it cannot be fetched for another reason.
        """
        if parsed(url) is None:
            raise ArchiveError(f"The result's URL {_shown(url)!r} is no address that can be fetched")
        try:
            return await self._fetch(url, _Transfer(file))
        except OSError as error:
            raise ArchiveError(
                f"A temporary file cannot be written: {error}; make room and run again"
            ) from None

    async def _fetch(self, url: str, transfer: _Transfer) -> str:
        transfer.restart()
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_retry_read),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10) + tenacity.wait_random(0, 0.5),
            stop=tenacity.stop_after_attempt(_TRIES),
            sleep=asyncio.sleep,
            reraise=True,
        )
        await tries(self._resume, url, transfer)
        transfer.file.flush()
        return transfer.digest.hexdigest()

    async def _resume(self, url: str, transfer: _Transfer) -> None:
        """Fetch what is still missing."""
        shown = _shown(url)
        with translated_errors(f"GET {shown}"):
            async with self._http.stream("GET", url, headers=transfer.range_headers) as response:
                if error := _refusal(response, shown):
                    raise error
                expected = _expected_bytes(response, transfer)
                async for chunk in response.aiter_raw():
                    transfer.take(chunk)
        if expected not in (None, transfer.received):
            raise IntegrityError(f"{shown} ended after {transfer.received} of {expected} bytes")


def _shown(url: str) -> str:
    """Leave out what follows the path: it may be a signature."""
    return url.partition("?")[0]


def _expected_bytes(response: httpx.Response, transfer: _Transfer) -> int | None:
    """Begin the file, or continue it if that is what the answer does, and return its size if it is told.

    Raises:
        IntegrityError: If the answer is another part than is missing, or of another file.
    """
    is_part = response.status_code in _PARTIAL
    if not is_part:
        transfer.restart()
    if not transfer.received:
        transfer.validator = _validator(response)
    if not is_part:
        length = response.headers.get("Content-Length")
        return int(length) if length else None
    part = _PART.fullmatch(response.headers.get("Content-Range", ""))
    is_same = _validator(response) in {"", transfer.validator}
    if not part or int(part["first"]) != transfer.received or not is_same:
        transfer.restart()
        raise IntegrityError("The server has another file, or sent another part, than was begun")
    return int(part["last"]) + 1 if part["total"] == "*" else int(part["total"])


def _validator(response: httpx.Response) -> str:
    """Return what identifies these bytes, if anything does; a weak tag does not."""
    tag = response.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")


def _refusal(response: httpx.Response, shown: str) -> SeedanceError | None:
    code = response.status_code
    if response.is_success or code in _PARTIAL:
        return None
    if code in _GONE:
        return LinkExpiredError(f"{shown} is no longer served ({code})")
    if response.is_server_error or code == httpx.codes.TOO_MANY_REQUESTS:
        return ServerError(f"{shown} could not be fetched ({code})", code=code)
    return ArchiveError(f"{shown} could not be fetched ({code})")
