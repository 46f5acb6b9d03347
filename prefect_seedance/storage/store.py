"""Bytes by key, in a folder or a bucket."""

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Self

import obstore
import obstore.exceptions

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.backends import Backend, translated_errors

_PART_BYTES = 8 * 1024 * 1024
"""Most clips fit into one: then it is one request, and a killed process leaves nothing in a bucket. A part
has 30 s, or as much as the environment's AWS_TIMEOUT says, and should pass a slow line in that time."""

_PARTS_AT_ONCE = 4
"""Measured: a process that sends a file takes 140 MB, whatever the file's size; with 12 parts 230 MB."""

_PROBE_SECONDS = 30.0
"""For the requests of a probe, whatever they meet with; each takes about 0.1 s."""

_STAGED = re.compile(r"#\d+$")
"""How object_store, which obstore is built on, names files in a folder until they are complete."""

_ABANDONED_SECONDS = 600.0
"""Nobody writes one object for so long."""


class Store:
    """Bytes by key. Keys are paths with slashes, below the URL the store was opened with.

    Attributes:
        url: The folder's path or the bucket's URL, as people know it.
        name: What to call it in commands: its URL, unless Prefect knows it by another.
        expires_at: When the credentials end that it was opened with, as far as that is known.
    """

    def __init__(self, backend: Backend, *, name: str = "") -> None:
        self.url = backend.url
        self.name = name or backend.url
        self.expires_at = backend.expires_at
        self._backend = backend

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a store by the URL of its place, as `Backend.open` does.

        Raises:
            SetupError: If the URL names no such place, or the folder cannot be made.
        """
        return cls(Backend.open(url))

    async def probe(self) -> None:
        """Make sure that a bucket can be read and written, and creates objects atomically.

        It takes five small requests; a folder needs none. Who may not delete leaves a small object
        below ``probes/``.

        Raises:
            SetupError: If it cannot be used.
        """
        if not self._backend.bucket:
            return
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe(f"probes/{secrets.token_hex(8)}")
        except (TimeoutError, ArchiveError) as error:
            reason = str(error) or f"no answer within {_PROBE_SECONDS:.0f} s"
            raise SetupError(
                f"The archive {self.url} cannot be used: {reason}. Nothing was spent. "
                "Check the bucket's name, its region, the endpoint and the credentials"
            ) from None

    async def _probe(self, key: str) -> None:
        first, second = (secrets.token_bytes(16) for _ in range(2))
        for content in (first, second):
            with (
                translated_errors(f"create {self.link(key)}"),
                suppress(obstore.exceptions.AlreadyExistsError),
            ):
                await obstore.put_async(self._backend.reader, key, content, mode="create")
        await self.keys("probes/")
        if await self.read(key) != first:
            raise ArchiveError(
                "it does not create objects atomically (If-None-Match: *), so two runs could pay for one clip"
            )
        with suppress(obstore.exceptions.BaseError, OSError):
            await obstore.delete_async(self._backend.reader, key)

    async def create(self, key: str, content: bytes) -> bool:
        """Write an object unless one exists, atomically; tell whether it was written.

        Of several processes that try, exactly one is told True, if their contents differ. In a folder
        an object that was written has reached the disk when this returns.
        """
        with translated_errors(f"create {self.link(key)}"):
            try:
                await obstore.put_async(self._backend.writer, key, content, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return await self._is_ours(key, content)
            except obstore.exceptions.BaseError:
                with suppress(ArchiveError):
                    if await self._is_ours(key, content):
                        return True
                raise
            await self._settle(key)
        return True

    async def _is_ours(self, key: str, content: bytes) -> bool:
        """Tell whether a bucket did write the object, but its answer was lost on the way to us."""
        return bool(self._backend.bucket) and await self.read(key) == content

    async def put(
        self,
        key: str,
        content: bytes | BinaryIO,
        *,
        media_type: str | None = None,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write an object whole or not at all, over one that exists; a file is sent from its beginning.

        However large the file is, only some parts of it are in memory. A bucket is told each part's
        digest, which is part of its request's signature. In a folder the object has reached the disk when
        this returns, so that no record can outlive what it tells of.
        """
        said = {**({"Content-Type": media_type} if media_type else {}), **metadata}
        if not isinstance(content, bytes):
            content.seek(0)
        with translated_errors(f"write {self.link(key)}"):
            await obstore.put_async(
                self._backend.writer,
                key,
                content,
                attributes=said if self._backend.bucket else None,  # a folder has no room for them
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
            await self._settle(key)

    async def copy(self, source: str, key: str) -> None:
        """Give an object a second name, over one that exists; in a folder it takes no space."""
        with translated_errors(f"copy {self.link(source)} to {self.link(key)}"):
            await obstore.copy_async(self._backend.writer, source, key)
            await self._settle(key)

    async def read(self, key: str) -> bytes | None:
        """Return an object's content, or None if there is none."""
        with translated_errors(f"read {self.link(key)}"):
            try:
                found = await obstore.get_async(self._backend.reader, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def fetch(self, key: str, file: BinaryIO) -> str | None:
        """Write an object's content into a file, from its beginning, and return its SHA-256 in hex.

        Returns None, and leaves the file alone, if there is no such object.
        """
        digest = hashlib.sha256()
        with translated_errors(f"read {self.link(key)}"):
            try:
                found = await obstore.get_async(self._backend.reader, key)
            except FileNotFoundError:
                return None
            file.seek(0)
            file.truncate()
            async for chunk in found.stream():
                file.write(chunk)
                digest.update(chunk)
        return digest.hexdigest()

    async def size_bytes(self, key: str) -> int | None:
        """Return an object's size, or None if there is none."""
        with translated_errors(f"look at {self.link(key)}"):
            try:
                return (await obstore.head_async(self._backend.reader, key))["size"]
            except FileNotFoundError:
                return None

    async def keys(self, prefix: str) -> tuple[str, ...]:
        """Return all keys below a prefix that ends at a slash, sorted."""
        with translated_errors(f"list {self.link(prefix)}"):
            return tuple(
                sorted(
                    [
                        meta["path"]
                        async for page in obstore.list(self._backend.reader, prefix)
                        for meta in page
                    ]
                )
            )

    async def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the objects directly in a folder, sorted; none if there is no such folder."""
        with translated_errors(f"list {self.link(folder)}"):
            found = await obstore.list_with_delimiter_async(self._backend.reader, folder)
            return tuple(sorted(meta["path"].rpartition("/")[2] for meta in found["objects"]))

    async def sign(self, key: str, *, lifetime: timedelta) -> str | None:
        """Return a URL under which anyone can fetch the object for a while, or None if the store has none."""
        if not self._backend.bucket:
            return None
        with translated_errors(f"sign {self.link(key)}"):
            return await obstore.sign_async(self._backend.bucket, "GET", key, lifetime)

    async def sweep(self, prefixes: Iterable[str]) -> None:
        """Remove what writers that died left half-written below these prefixes, if it is old enough.

        Such leftovers are no objects: nothing but this ever sees them. In a bucket that is not S3, or
        without boto, only the bucket's own rules remove them.
        """
        if self._backend.uploads:
            await asyncio.to_thread(self._backend.uploads.sweep, tuple(prefixes))
        if self._backend.folder:
            folders = [self._backend.folder / prefix for prefix in prefixes]
            with translated_errors(f"tidy up {self.url}"):
                await asyncio.to_thread(_sweep, folders)

    async def _settle(self, key: str) -> None:
        if self._backend.folder:
            await asyncio.to_thread(_sync, self._backend.folder / key, upto=self._backend.folder)

    def link(self, key: str) -> str:
        """Say where an object is, for people: a path, or a URL that needs credentials."""
        return f"{self.url}/{key}"


def _sweep(folders: Iterable[Path]) -> None:
    latest = time.time() - _ABANDONED_SECONDS
    for folder in folders:
        for path in folder.rglob("*#*"):
            with suppress(FileNotFoundError):  # another process's, which has finished it meanwhile
                if _STAGED.search(path.name) and path.stat().st_mtime < latest:
                    path.unlink()


def _sync(path: Path, *, upto: Path) -> None:
    """Bring a file and the folders that lead to it to the disk, so that a power cut does not undo it."""
    for each in (path, *path.parents):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == upto:
            return
