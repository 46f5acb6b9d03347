"""Download a result file, resuming interrupted transfers."""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

import httpx
import tenacity

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.guarded import GuardedClient
from prefect_seedance.api.transport import translated_errors
from prefect_seedance.api.urls import parse_url, shown_url
from prefect_seedance.errors import (
    ArchiveError,
    IntegrityError,
    LinkExpiredError,
    NoAnswerError,
    SeedanceError,
    ServerError,
    TemporaryFileError,
    may_retry_read,
)

_MAX_TRIES = 6
"""Tries in a row that bring the download no further; a line that breaks again and again may still succeed."""

_STALL_BYTES = 64_000
_STALL_SECONDS = 120.0
"""Longest time for the next 64 kB. At such a pace no clip arrives within an hour, and another source may be
quick; so a host that sends a byte a second does not use up the deadline."""

_TIMEOUT_SECONDS = 30.0

MAX_CLIP_BYTES = 2**30
"""Far more than any clip: 15 s of 1080p in a format for editing have 600 MB. Without a bound, an endless
stream would fill the disk."""

_NOT_SERVED = {202, 204, 400, 401, 403, 404, 409, 410, 423, 425}
"""Statuses of a URL that has expired or does not serve the file yet: for an expired signature, Google Cloud
Storage answers 400, others 401, 403, 404 or 410."""

_PARTIAL = {httpx.codes.PARTIAL_CONTENT, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE}
_LENGTH = re.compile(r"\d{1,20}", re.ASCII)
_PART = re.compile(r"bytes (?P<first>\d{1,20})-(?P<last>\d{1,20})/(?P<total>\d{1,20}|\*)", re.ASCII)


@dataclass
class _Transfer:
    """A file that is being downloaded, with the digest of the bytes received so far.

    Attributes:
        furthest: The most bytes of the file that any try received.
        tries: Tries since one got further, counting that one.
        patience: Expires if the source is too slow.
    """

    file: BinaryIO
    patience: asyncio.Timeout
    received: int = 0
    furthest: int = 0
    tries: int = 0
    validator: str = ""
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _since_mark: int = 0

    def restart(self) -> None:
        with _writing():
            self.file.seek(0)
            self.file.truncate()
        self.received = 0
        self.digest = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        with _writing():
            self.file.write(chunk)
        self.digest.update(chunk)
        self.received += len(chunk)
        _check_size(self.received)
        self._since_mark += len(chunk)
        if self._since_mark >= _STALL_BYTES:
            self._since_mark = 0
            self.patience.reschedule(_stalled_at())

    def count_try(self) -> None:
        """Count a failed try; one that got further than all before starts the count again."""
        self.tries = 1 if self.received > self.furthest else self.tries + 1
        self.furthest = max(self.furthest, self.received)

    def finish(self) -> str:
        """Return the digest of the whole file."""
        with _writing():
            self.file.flush()
        return self.digest.hexdigest()

    @property
    def range_headers(self) -> dict[str, str]:
        """Headers that request the missing bytes, provided that the file has not changed."""
        if not self.received or not self.validator:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self.validator}


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

        The content of the file is replaced as soon as the server sends any.

        Raises:
            ForbiddenHostError: If the URL or a redirect leads to a host that may not be read from.
            LinkExpiredError: If the URL is not served, no longer or not yet.
            IntegrityError: If the download stays incomplete.
            TemporaryFileError: If the file cannot be written.
            ArchiveError: If the URL is invalid, or the file too large for a clip.
            SeedanceError: If the download fails for another reason.
        """
        if parse_url(url) is None:
            raise ArchiveError(f"The result's URL {shown_url(url)!r} is not an http(s) URL")
        try:
            async with asyncio.timeout(_STALL_SECONDS) as patience:
                return await self._fetch(url, _Transfer(file, patience))
        except TimeoutError:
            raise NoAnswerError(
                f"{shown_url(url)} sent less than {_STALL_BYTES // 1000} kB in {_STALL_SECONDS:.0f} s"
            ) from None

    async def _fetch(self, url: str, transfer: _Transfer) -> str:
        jitter = tenacity.wait_random(0, 0.5)
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_retry_read),
            wait=lambda state: min(10.0, 2.0 ** (transfer.tries - 2)) + jitter(state),
            stop=lambda _: transfer.tries >= _MAX_TRIES,
            sleep=asyncio.sleep,
            reraise=True,
        )
        await tries(self._resume, url, transfer)
        return transfer.finish()

    async def _resume(self, url: str, transfer: _Transfer) -> None:
        """Download the missing bytes."""
        shown = shown_url(url)
        try:
            with translated_errors(f"GET {shown}"):
                async with self._http.stream(url, headers=transfer.range_headers) as response:
                    if error := _refusal(response, shown):
                        raise error
                    expected = _expected_bytes(response, transfer)
                    async for chunk in response.aiter_raw():
                        transfer.append(chunk)
            if expected not in (None, transfer.received):
                raise IntegrityError(f"{shown} ended after {transfer.received} of {expected} bytes")
        except SeedanceError:
            transfer.count_try()
            raise


@contextmanager
def _writing() -> Iterator[None]:
    """Translate the errors of the file, which no other source can prevent."""
    try:
        yield
    except OSError as error:
        raise TemporaryFileError(
            f"A temporary file cannot be written: {error}; free disk space and run again"
        ) from None


def _stalled_at() -> float:
    """Return when a source that sends nothing more counts as failed, by the event loop's clock."""
    return asyncio.get_running_loop().time() + _STALL_SECONDS


def _expected_bytes(response: httpx.Response, transfer: _Transfer) -> int | None:
    """Return the size of the whole file, if the response states it.

    Restarts the transfer if the response is not a part of the file.

    Raises:
        IntegrityError: If the response is not the missing part, or is part of another file.
        ArchiveError: If the file is too large for a clip.
    """
    is_part = response.status_code in _PARTIAL
    if not (is_part and transfer.received):
        transfer.restart()
        transfer.validator = _validator(response)
    if not is_part:
        length = response.headers.get("Content-Length", "")
        return _check_size(int(length)) if _LENGTH.fullmatch(length) else None
    part = _PART.fullmatch(response.headers.get("Content-Range", ""))
    is_same = _validator(response) in {"", transfer.validator}
    if not part or int(part["first"]) != transfer.received or not is_same:
        transfer.restart()
        raise IntegrityError(
            "The server sent a wrong part, or its file has changed; the download starts again"
        )
    return _check_size(int(part["last"]) + 1 if part["total"] == "*" else int(part["total"]))


def _check_size(size_bytes: int) -> int:
    """Return a size unchanged if it can be that of a clip."""
    if size_bytes > MAX_CLIP_BYTES:
        raise ArchiveError(
            f"The result has more than {MAX_CLIP_BYTES // 2**20} MiB, so it cannot be a clip; "
            "report it to the provider with the generation's id"
        )
    return size_bytes


def _validator(response: httpx.Response) -> str:
    """Return the ETag or date that identifies the file's bytes; empty if there is none, or a weak tag."""
    tag = response.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")


def _refusal(response: httpx.Response, shown: str) -> SeedanceError | None:
    code = response.status_code
    if code in _NOT_SERVED:
        return LinkExpiredError(f"{shown} is not served ({code})")
    if response.is_success or code in _PARTIAL:
        return None
    if response.is_server_error or code == httpx.codes.TOO_MANY_REQUESTS:
        return ServerError(f"{shown} could not be fetched ({code})", code=code)
    return ArchiveError(f"{shown} could not be fetched ({code})")
