"""Read, write and atomically create objects by key."""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Self

import obstore
import obstore.exceptions

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.backends import Backend, translated_errors
from prefect_seedance.storage.durability import Flusher, remove_abandoned
from prefect_seedance.storage.file_names import link_files
from prefect_seedance.storage.hard_links import check_hard_links

if TYPE_CHECKING:
    from obstore import ObjectMeta

_PART_BYTES = 8 * 1024 * 1024
"""Most clips fit into one part, which is one request, so that a killed process leaves nothing in a bucket.
Small enough for a slow connection: a part times out after 30 s, or after AWS_TIMEOUT."""

_CHUNK_BYTES = 1024 * 1024
"""A folder needs no large parts. Measured: to write a film of 30 MB takes 7 MB of memory instead of 30 MB."""

_MAX_CONCURRENT_PARTS = 4
"""Measured: a process that writes a file of any size takes 140 MB of memory; with 12 parts, 230 MB."""

_PROBE_SECONDS = 30.0
"""Bound of all requests of a probe; each takes about 0.1 s."""

_ABANDONED_PROBE = timedelta(hours=1)
"""Far longer than any probe takes."""


class Store:
    """Objects by key. Keys are paths with slashes, relative to the store's URL.

    Attributes:
        url: The folder's path or the bucket's URL.
        name: The store's name in commands: its URL, or ``block:NAME`` if it is stored in Prefect.
        expires_at: When the credentials expire, if that is known.
        folder: The folder, if it is one.
    """

    def __init__(self, backend: Backend, *, name: str = "") -> None:
        self.url = backend.url
        self.name = name or backend.url
        self.expires_at = backend.expires_at
        self.folder = backend.folder
        self._backend = backend
        self._flusher = Flusher(backend.folder) if backend.folder else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open a store by the URL of a bucket or folder, as `Backend.open` does.

        Args:
            url: Of the store.
            create: Whether a missing folder is created; otherwise it is empty, and stays missing.

        Raises:
            SetupError: If the URL is not supported, or the folder cannot be created.
        """
        return cls(Backend.open(url, create=create))

    async def probe(self) -> None:
        """Check that the store can be read and written, and creates objects atomically.

        This takes five small requests. Without permission to delete, a small object stays below ``probes/``.

        Raises:
            SetupError: If the store cannot be used.
        """
        await self.check_folder()
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe(f"probes/{secrets.token_hex(8)}")
        except (TimeoutError, ArchiveError) as error:
            raise self.unusable(str(error) or f"no answer within {_PROBE_SECONDS:.0f} s") from None

    def unusable(self, reason: str) -> SetupError:
        """Return the error of a store that cannot be used, with the remedy."""
        remedy = (
            "Check the bucket's name, its region, the endpoint and the credentials"
            if self._backend.bucket
            else "Check the folder's permissions and free space, or use one on another file system"
        )
        return SetupError(f"The archive {self.url} cannot be used: {reason}. Nothing was spent. {remedy}")

    async def check_folder(self) -> None:
        """Check that a folder can be written and has hard links, without which it creates no records.

        Raises:
            SetupError: If not.
        """
        if self._backend.folder:
            try:
                await asyncio.to_thread(check_hard_links, self._backend.folder)
            except OSError as error:
                raise self.unusable(str(error.strerror)) from None

    async def _probe(self, key: str) -> None:
        first, second = (secrets.token_bytes(16) for _ in range(2))
        for content in (first, second):
            with (
                translated_errors(f"create {self.link(key)}"),
                suppress(obstore.exceptions.AlreadyExistsError),
            ):
                await obstore.put_async(self._backend.reader, key, content, mode="create")
                await self._sync(key)
        written = {meta["path"]: meta["last_modified"] for meta in await self._list("probes/")}
        latest = written[key] - _ABANDONED_PROBE if key in written else None  # by the store's clock
        if await self.read(key) != first:
            raise ArchiveError("it does not create objects atomically, so two runs could pay for one clip")
        with suppress(obstore.exceptions.BaseError, OSError):
            await self._delete(key)
            for other, then in written.items():  # without permission, the line above has raised
                if latest and then < latest:
                    await self._delete(other)

    async def create(self, key: str, content: bytes) -> bool:
        """Write an object atomically unless it exists, and return whether this call wrote it.

        Of several calls, at most one gets True. It can be none: if the answer to a request is lost, the store
        repeats the request, and finds the object that it has written itself. So after False, or an error,
        only the object's content shows who created it. After an error there is no object, or a whole one. In
        a folder, the object is on disk when this returns.

        Raises:
            ArchiveError: If the object may not have been created.
        """
        with translated_errors(f"create {self.link(key)}"):
            try:
                await obstore.put_async(self._backend.writer, key, content, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
            try:
                await self._sync(key)
            except OSError:
                await self._remove_half(key, content)
                raise
        return True

    async def _remove_half(self, key: str, content: bytes) -> None:
        """Remove an object that this process has just created in a folder, unless it is whole."""
        with suppress(ArchiveError, obstore.exceptions.BaseError):
            if await self.read(key) != content:
                await self._delete(key)

    async def put(
        self,
        key: str,
        content: bytes | BinaryIO,
        *,
        media_type: str | None = None,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write an object completely or not at all, replacing an existing one.

        A file is written from its beginning, and only a few parts of it are in memory at a time. A bucket
        verifies each part by its digest, which is signed with the request. In a folder, the object is on
        disk when this returns, so that no record is stored before the object that it describes.
        """
        attributes = {**({"Content-Type": media_type} if media_type else {}), **metadata}
        if not isinstance(content, bytes):
            content.seek(0)
        with translated_errors(f"write {self.link(key)}"):
            await obstore.put_async(
                self._backend.writer,
                key,
                content,
                attributes=attributes if self._backend.bucket else None,  # a folder cannot store them
                chunk_size=_PART_BYTES if self._backend.bucket else _CHUNK_BYTES,
                max_concurrency=_MAX_CONCURRENT_PARTS,
            )
            await self._sync(key)

    async def copy(self, source: str, key: str) -> None:
        """Copy an object, replacing an existing one; in a folder, the copy takes no space."""
        with translated_errors(f"copy {self.link(source)} to {self.link(key)}"):
            await obstore.copy_async(self._backend.writer, source, key)
            await self._sync(key)

    async def link_objects(self, folder: str, names: Mapping[str, str]) -> bool:
        """Give objects second names in a folder, from names to keys, and remove those of earlier calls.

        Return whether the store can do so: a bucket, or a file system without hard links, cannot.
        """
        if self.folder is None:
            return False
        files = {name: self.folder / key for name, key in names.items()}
        with translated_errors(f"name files in {self.link(folder)}"):
            return await asyncio.to_thread(link_files, self.folder / folder, files)

    async def delete(self, key: str) -> None:
        """Delete an object that can be made again at no cost, if there is one."""
        with translated_errors(f"delete {self.link(key)}"), suppress(FileNotFoundError):
            await obstore.delete_async(self._backend.writer, key)

    async def read(self, key: str) -> bytes | None:
        """Return an object's content, or None if there is no such object."""
        with translated_errors(f"read {self.link(key)}"):
            try:
                found = await obstore.get_async(self._backend.reader, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def fetch(self, key: str, file: BinaryIO) -> str | None:
        """Read an object into a file, replacing its content, and return the SHA-256 in hexadecimal.

        If there is no such object, return None and leave the file unchanged.
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
        """Return an object's size, or None if there is no such object."""
        with translated_errors(f"read the size of {self.link(key)}"):
            try:
                return (await obstore.head_async(self._backend.reader, key))["size"]
            except FileNotFoundError:
                return None

    async def keys(self, prefix: str) -> tuple[str, ...]:
        """Return all keys below a prefix that ends with a slash, sorted."""
        return tuple(sorted(meta["path"] for meta in await self._list(prefix)))

    async def _list(self, prefix: str) -> "Sequence[ObjectMeta]":
        with translated_errors(f"list {self.link(prefix)}"):
            return [meta async for page in obstore.list(self._backend.reader, prefix) for meta in page]

    async def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the objects directly in a folder, sorted; none if there is no such folder."""
        with translated_errors(f"list {self.link(folder)}"):
            found = await obstore.list_with_delimiter_async(self._backend.reader, folder)
            return tuple(sorted(meta["path"].rpartition("/")[2] for meta in found["objects"]))

    async def sign(self, key: str, *, lifetime: timedelta) -> str | None:
        """Return a signed URL of an object for this lifetime, or None if the store is not a bucket."""
        if not self._backend.bucket:
            return None
        with translated_errors(f"sign {self.link(key)}"):
            return await obstore.sign_async(self._backend.bucket, "GET", key, lifetime)

    async def sweep(self, prefixes: Iterable[str]) -> None:
        """Remove old incomplete writes of killed processes below these prefixes.

        Incomplete writes are not objects, so nothing else finds them. In a bucket outside S3, or without
        boto3, only the bucket's own rules remove them.
        """
        if self._backend.uploads:
            await asyncio.to_thread(self._backend.uploads.abort_abandoned, tuple(prefixes))
        if self.folder:
            folders = [self.folder / prefix for prefix in prefixes]
            with translated_errors(f"clean up {self.url}"):
                await asyncio.to_thread(remove_abandoned, folders)

    async def _sync(self, key: str) -> None:
        if self._flusher:
            await self._flusher.flush(key)

    async def _delete(self, key: str) -> None:
        """Delete an object. In a folder, that also removes folders which are empty then."""
        forget = self._flusher.forget if self._flusher else lambda: None
        forget()
        await obstore.delete_async(self._backend.writer, key)
        forget()

    def link(self, key: str) -> str:
        """Return an object's path or URL, for people; a URL needs credentials."""
        return f"{self.url}/{key}"
