"""A file that is being downloaded: what has arrived, what identifies it, and what it expands to."""

import asyncio
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Self

import httpx

from prefect_seedance.api.decoding import DecodingError, decoded
from prefect_seedance.errors import ArchiveError, IntegrityError, TemporaryFileError

STALL_BYTES = 64_000
STALL_SECONDS = 120.0
"""Longest time for the next 64 kB. At such a pace no clip arrives within an hour, and another source may be
quick; so a host that sends a byte a second does not use up the deadline."""

MAX_CLIP_BYTES = 2**30
"""Far more than any clip: 15 s of 1080p in a format for editing have 600 MB. Without a bound, an endless
stream would fill the disk."""

PARTIAL = {httpx.codes.PARTIAL_CONTENT, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE}
_LENGTH = re.compile(r"\d{1,20}", re.ASCII)
_PART = re.compile(r"bytes (?P<first>\d{1,20})-(?P<last>\d{1,20})/(?P<total>\d{1,20}|\*)", re.ASCII)

_GZIP = b"\x1f\x8b"
_VIDEO = re.compile(rb".{4}ftyp|\x1a\x45\xdf\xa3", re.DOTALL)
"""The beginning of an MP4 or WebM: it is not encoded, whatever the response says."""

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Version:
    """What a response states about the file, so that parts of two files are not combined.

    Attributes:
        tag: The ETag; a weak one, as that of a host that compresses, still differs for another file.
        date: The Last-Modified header.
        total: Size in bytes; None if it is unknown.
    """

    tag: str = ""
    date: str = ""
    encoding: str = ""
    total: int | None = None

    @classmethod
    def of(cls, response: httpx.Response, *, total: int | None) -> Self:
        """Read the headers of a response."""
        headers = response.headers
        return cls(
            tag=headers.get("ETag", ""),
            date=headers.get("Last-Modified", ""),
            encoding=headers.get("Content-Encoding", ""),
            total=total,
        )

    @property
    def condition(self) -> str:
        """What ``If-Range`` accepts: a strong tag, or the date; empty if there is neither."""
        return self.date if self.tag.startswith("W/") or not self.tag else self.tag

    def allows(self, other: Self) -> bool:
        """Return whether a response with another version may have a part of this file."""
        pairs = (
            (self.tag.removeprefix("W/"), other.tag.removeprefix("W/")),
            (self.date, other.date),
            (self.total, other.total),
        )
        return self.encoding == other.encoding and all(
            ours == theirs for ours, theirs in pairs if ours and theirs
        )


@dataclass
class Transfer:
    """A file that is being downloaded, with the digest of the bytes received so far.

    Attributes:
        patience: Expires if the source is too slow.
        furthest: The most bytes of the file that any try received.
        tries: Tries since one got further, counting that one.
        ignores_condition: Whether the server sends an unchanged file from its beginning, if asked for a part
            on condition that the file is unchanged.
    """

    file: BinaryIO
    patience: asyncio.Timeout
    received: int = 0
    furthest: int = 0
    tries: int = 0
    version: Version = Version()
    ignores_condition: bool = False
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _since_mark: int = 0

    def restart(self) -> None:
        """Forget what has arrived."""
        with _writing():
            self.file.seek(0)
            self.file.truncate()
        self.received = 0
        self.digest = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        """Write the next bytes."""
        with _writing():
            self.file.write(chunk)
        self.digest.update(chunk)
        self.received += len(chunk)
        _check_size(self.received)
        self._since_mark += len(chunk)
        if self._since_mark >= STALL_BYTES:
            self._since_mark = 0
            self.patience.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)

    def count_try(self) -> None:
        """Count a failed try; one that got further than all before starts the count again."""
        self.tries = 1 if self.received > self.furthest else self.tries + 1
        self.furthest = max(self.furthest, self.received)

    @property
    def range_headers(self) -> dict[str, str]:
        """Headers that request the missing bytes, provided that the file has not changed.

        Without a condition that the server accepts, its size decides. The video is verified by decoding it.
        """
        missing, condition = {"Range": f"bytes={self.received}-"}, self.version.condition
        if not self.received or not (condition or self.version.total):
            return {}
        return missing if self.ignores_condition or not condition else missing | {"If-Range": condition}

    def begin(self, response: httpx.Response) -> int | None:
        """Return the size of the whole file, if the response states it.

        Restarts the transfer if the response is not a part of the file.

        Raises:
            IntegrityError: If the response is not the missing part, or is part of another file.
            ArchiveError: If the file is too large for a clip.
        """
        is_part = response.status_code in PARTIAL
        part = _PART.fullmatch(response.headers.get("Content-Range", "")) if is_part else None
        total = _total(response, part)
        version = Version.of(response, total=total)
        if not (is_part and self.received):
            self.ignores_condition |= bool(self.received and version == self.version)
            self.restart()
            self.version = version
        if not is_part:
            return total
        if not part or int(part["first"]) != self.received or not self.version.allows(version):
            self.restart()
            raise IntegrityError(
                "The server sent a wrong part, or its file has changed; the download starts again"
            )
        return _check_size(int(part["last"]) + 1 if total is None else total)

    def finish(self) -> str:
        """Decode the file if it is encoded, and return the digest of the video in hexadecimal.

        Raises:
            IntegrityError: If the encoding is damaged.
            ArchiveError: If it expands to more than a clip can have.
        """
        with _writing():
            self.file.flush()
            self.file.seek(0)
            head = self.file.read(8)
            if _VIDEO.match(head) or not (self.version.encoding or head.startswith(_GZIP)):
                return self.digest.hexdigest()
            with tempfile.TemporaryFile(prefix="seedance-") as expanded:
                digest = self._expand_into(expanded)
                expanded.seek(0)
                self.restart()
                shutil.copyfileobj(expanded, self.file)
                self.file.flush()
        return digest

    def _expand_into(self, expanded: BinaryIO) -> str:
        digest, size_bytes = hashlib.sha256(), 0
        self.file.seek(0)
        chunks = iter(lambda: self.file.read(_CHUNK_BYTES), b"")
        try:
            for piece in decoded(chunks, encoding=self.version.encoding):
                size_bytes += len(piece)
                _check_size(size_bytes)
                expanded.write(piece)
                digest.update(piece)
        except DecodingError as error:
            raise IntegrityError(f"The result arrived compressed, and {error}") from None
        return digest.hexdigest()


@contextmanager
def _writing() -> Iterator[None]:
    """Translate the errors of the file, which no other source can prevent."""
    try:
        yield
    except OSError as error:
        raise TemporaryFileError(
            f"A temporary file cannot be written: {error}; free disk space and run again"
        ) from None


def _total(response: httpx.Response, part: re.Match[str] | None) -> int | None:
    """Return the size of the whole file, if a response states it."""
    if response.status_code in PARTIAL:
        return int(part["total"]) if part and part["total"] != "*" else None
    length = response.headers.get("Content-Length", "")
    return _check_size(int(length)) if _LENGTH.fullmatch(length) else None


def _check_size(size_bytes: int) -> int:
    """Return a size unchanged if it can be that of a clip."""
    if size_bytes > MAX_CLIP_BYTES:
        raise ArchiveError(
            f"The result has more than {MAX_CLIP_BYTES // 2**20} MiB, so it cannot be a clip; "
            "report it to the provider with the generation's id"
        )
    return size_bytes
