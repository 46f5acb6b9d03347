"""Where bytes live: a folder, or a bucket of S3, GCS or Azure."""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote

import obstore
import obstore.exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, ObjectStore, S3Store

from prefect_seedance.errors import ArchiveError, SetupError

_BUCKETS: Mapping[str, type[S3Store | GCSStore | AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}

_MEMORIES: dict[str, MemoryStore] = {}
"""A ``memory://`` store lives as long as the process, so that everyone who names it sees the same."""

_STAGED = re.compile(r"#\d+$")
"""How object_store, which obstore is built on, names files in a folder until they are complete."""

_ABANDONED_SECONDS = 600.0
"""Nobody writes one object for so long."""


class Store:
    """Bytes by key. Keys are paths with slashes, below the URL the store was opened with.

    Attributes:
        url: The folder's path or the bucket's URL, as people know it.
    """

    def __init__(self, url: str, backend: ObjectStore, *, folder: Path | None = None) -> None:
        self.url = url
        self._backend = backend
        self._folder = folder

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a store by URL: a folder's path, ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://``.

        A folder is made if it is missing.

        Raises:
            SetupError: If the URL names no such place, or the folder cannot be made.
        """
        scheme, separator, _ = url.partition("://")
        if url and not separator:
            return cls._open_folder(Path(url))
        if url.startswith("file:///"):
            return cls._open_folder(Path(unquote(url.removeprefix("file://"))))
        if scheme == "memory":
            return cls(url, _MEMORIES.setdefault(url, MemoryStore()))
        if scheme in _BUCKETS:
            with _told(f"open {url}", SetupError):
                return cls(url.rstrip("/"), _BUCKETS[scheme].from_url(url))
        raise SetupError(
            f"{url!r} is no place to archive in; give a folder's path, or s3://, gs:// or az:// with a bucket"
        )

    @classmethod
    def _open_folder(cls, path: Path) -> Self:
        with _told(f"make the archive's folder {path}", SetupError):
            folder = path.expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
        return cls(str(folder), LocalStore(folder), folder=folder)

    async def create(self, key: str, content: bytes) -> bool:
        """Write an object unless one exists, atomically; tell whether it was written.

        Of several processes that try, exactly one is told True. In a folder an object that was
        written has reached the disk when this returns.
        """
        with _told(f"create {self.link(key)}"):
            try:
                await obstore.put_async(self._backend, key, content, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
            await self._settle(key)
        return True

    async def put(self, key: str, content: bytes | BinaryIO, *, media_type: str | None = None) -> None:
        """Write an object whole or not at all, over one that exists; a file is sent from its beginning.

        However large the file is, only some parts of 5 MiB are in memory. In a folder the object has
        reached the disk when this returns, so that no record can outlive what it tells of.
        """
        attributes = {"Content-Type": media_type} if media_type and not self._folder else None
        if not isinstance(content, bytes):
            content.seek(0)
        with _told(f"write {self.link(key)}"):
            await obstore.put_async(self._backend, key, content, attributes=attributes)
            await self._settle(key)

    async def read(self, key: str) -> bytes | None:
        """Return an object's content, or None if there is none."""
        with _told(f"read {self.link(key)}"):
            try:
                found = await obstore.get_async(self._backend, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def fetch(self, key: str, file: BinaryIO) -> str | None:
        """Write an object's content into a file, from its beginning, and return its SHA-256 in hex.

        Returns None, and leaves the file alone, if there is no such object.
        """
        digest = hashlib.sha256()
        with _told(f"read {self.link(key)}"):
            try:
                found = await obstore.get_async(self._backend, key)
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
        with _told(f"look at {self.link(key)}"):
            try:
                return (await obstore.head_async(self._backend, key))["size"]
            except FileNotFoundError:
                return None

    async def keys(self, prefix: str) -> tuple[str, ...]:
        """Return all keys below a prefix that ends at a slash, sorted."""
        with _told(f"list {self.link(prefix)}"):
            return tuple(
                sorted([meta["path"] async for page in obstore.list(self._backend, prefix) for meta in page])
            )

    async def sign(self, key: str, *, lifetime: timedelta) -> str | None:
        """Return a URL under which anyone can fetch the object for a while, or None if the store has none."""
        if not isinstance(self._backend, S3Store | GCSStore | AzureStore):
            return None
        with _told(f"sign {self.link(key)}"):
            return await obstore.sign_async(self._backend, "GET", key, lifetime)

    async def sweep(self, prefixes: Iterable[str]) -> None:
        """Remove what writers that died left half-written below these prefixes.

        Only a folder has such leftovers, and they are no objects: nothing but this ever sees them.
        """
        if self._folder:
            folders = [self._folder / prefix for prefix in prefixes]
            with _told(f"tidy up {self.url}"):
                await asyncio.to_thread(_sweep, folders)

    async def _settle(self, key: str) -> None:
        if self._folder:
            await asyncio.to_thread(_sync, self._folder / key, upto=self._folder)

    def link(self, key: str) -> str:
        """Say where an object is, for people: a path, or a URL that needs credentials."""
        return f"{self.url}/{key}"


@contextmanager
def _told(doing: str, kind: type[ArchiveError | SetupError] = ArchiveError) -> Iterator[None]:
    """Raise one readable error for whatever the storage raises inside."""
    try:
        yield
    except (obstore.exceptions.BaseError, OSError, ValueError, RuntimeError) as error:
        raise kind(f"Could not {doing}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """Drop obstore's debug output, which follows the message."""
    return str(error).partition("\n")[0] or type(error).__name__


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
