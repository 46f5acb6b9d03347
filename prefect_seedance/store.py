"""Where bytes live: a folder, or a bucket of S3, GCS or Azure."""

import asyncio
import atexit
import functools
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import unquote

import obstore
import obstore.exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, ObjectStore, S3Store

from prefect_seedance.errors import ArchiveError, SetupError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3CredentialProvider

_BUCKETS: Mapping[str, type[S3Store | GCSStore | AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}

_PART_BYTES = 8 * 1024 * 1024
"""Most clips fit into one: then it is one request, and a killed process leaves nothing in a bucket. A part
has 30 s, or as much as the environment's AWS_TIMEOUT says, and should pass a slow line in that time."""

_PARTS_AT_ONCE = 4
"""Measured: a process that sends a file takes 140 MB, whatever the file's size; with 12 parts 230 MB."""

_PATIENT: "RetryConfig" = {"retry_timeout": timedelta(minutes=3), "max_retries": 20}
"""What was paid for is written with patience: the id of an accepted generation shall outlive a storage's bad
minutes."""

_BRISK: "RetryConfig" = {"retry_timeout": timedelta(seconds=30), "max_retries": 6}
"""Everything else says soon that the storage does not answer."""

_PROBE_SECONDS = 30.0
"""For the requests of a probe, whatever they meet with; each takes about 0.1 s."""

_LAST_SECONDS = 0.05
"""Measured: a process that ends within milliseconds of an answer of obstore's aborts every fifth time,
for its threads still hold Python's objects; of those that wait so long none does."""

BLOCK_PREFIX = "block:"
"""Begins the name of an archive that Prefect knows; a folder of such a name is ``./block:…``."""

_MEMORIES: dict[str, MemoryStore] = {}
"""A ``memory://`` store lives as long as the process, so that everyone who names it sees the same."""

_STAGED = re.compile(r"#\d+$")
"""How object_store, which obstore is built on, names files in a folder until they are complete."""

_ANSWER = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)
"""How buckets refuse."""

_EXCHANGE = re.compile(r"Error performing \w+ (https?://[^/\s]+)\S* in .*? - (.+)")
"""How obstore tells that a bucket did not answer."""

_ABANDONED_SECONDS = 600.0
"""Nobody writes one object for so long."""


class Store:
    """Bytes by key. Keys are paths with slashes, below the URL the store was opened with.

    Attributes:
        url: The folder's path or the bucket's URL, as people know it.
        name: What to call it in commands: its URL, unless Prefect knows it by another.
    """

    def __init__(
        self,
        url: str,
        backend: ObjectStore,
        *,
        writer: ObjectStore | None = None,
        folder: Path | None = None,
        name: str = "",
    ) -> None:
        self.url = url
        self.name = name or url
        self._backend = backend
        self._writer = writer or backend
        self._folder = folder
        _end_gently()

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
        if url and not separator and not url.startswith(BLOCK_PREFIX):
            return cls._open_folder(Path(url))
        if url.startswith("file:///"):
            return cls._open_folder(Path(unquote(url.removeprefix("file://"))))
        if scheme == "memory":
            return cls(url, _MEMORIES.setdefault(url, MemoryStore()))
        if scheme in _BUCKETS:
            kind = _BUCKETS[scheme]
            with _told(f"open {url}", SetupError):
                reader, writer = (kind.from_url(url, retry_config=retry) for retry in (_BRISK, _PATIENT))
                return cls(url.rstrip("/"), reader, writer=writer)
        raise SetupError(
            f"{url!r} is no place to archive in; give a folder's path, or s3://, gs:// or az:// with a bucket"
        )

    @classmethod
    def open_s3(
        cls,
        bucket: str,
        *,
        prefix: str,
        name: str,
        config: "S3Config",
        client: "ClientConfig",
        credentials: "S3CredentialProvider",
    ) -> Self:
        """Open a bucket of S3, or of a service that speaks its language, with credentials of one's own.

        Raises:
            SetupError: If the options contradict each other.
        """

        def backend(retry: "RetryConfig") -> S3Store:
            return S3Store(
                bucket,
                prefix=prefix.strip("/") or None,
                config=config,
                client_options=client,
                retry_config=retry,
                credential_provider=credentials,
            )

        url = f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
        with _told(f"open {url}", SetupError):
            return cls(url, backend(_BRISK), writer=backend(_PATIENT), name=name)

    @classmethod
    def _open_folder(cls, path: Path) -> Self:
        with _told(f"make the archive's folder {path}", SetupError):
            folder = path.expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
        return cls(str(folder), LocalStore(folder), folder=folder)

    async def probe(self) -> None:
        """Make sure that a bucket can be read and written, and creates objects atomically.

        It takes five small requests; a folder needs none. Who may not delete leaves a small object
        below ``probes/``.

        Raises:
            SetupError: If it cannot be used.
        """
        if not self._is_bucket:
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
                _told(f"create {self.link(key)}"),
                suppress(obstore.exceptions.AlreadyExistsError),
            ):
                await obstore.put_async(self._backend, key, content, mode="create")
        await self.keys("probes/")
        if await self.read(key) != first:
            raise ArchiveError(
                "it does not create objects atomically (If-None-Match: *), so two runs could pay for one clip"
            )
        with suppress(obstore.exceptions.BaseError, OSError):
            await obstore.delete_async(self._backend, key)

    async def create(self, key: str, content: bytes) -> bool:
        """Write an object unless one exists, atomically; tell whether it was written.

        Of several processes that try, exactly one is told True, if their contents differ. In a folder
        an object that was written has reached the disk when this returns.
        """
        with _told(f"create {self.link(key)}"):
            try:
                await obstore.put_async(self._writer, key, content, mode="create")
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
        return self._is_bucket and await self.read(key) == content

    async def put(self, key: str, content: bytes | BinaryIO, *, media_type: str | None = None) -> None:
        """Write an object whole or not at all, over one that exists; a file is sent from its beginning.

        However large the file is, only some parts of it are in memory. In a folder the object has
        reached the disk when this returns, so that no record can outlive what it tells of.
        """
        attributes = {"Content-Type": media_type} if media_type and not self._folder else None
        if not isinstance(content, bytes):
            content.seek(0)
        with _told(f"write {self.link(key)}"):
            await obstore.put_async(
                self._writer,
                key,
                content,
                attributes=attributes,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
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

    @property
    def _is_bucket(self) -> bool:
        return isinstance(self._backend, S3Store | GCSStore | AzureStore)

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
    """Take what the storage says out of what obstore says, and drop its debug output."""
    said = str(error).partition("\n\nDebug source:")[0]
    if answer := _ANSWER.search(said):
        return f"{' '.join(answer[2].split()).rstrip('.')} ({answer[1]})"
    line = said.partition("\n")[0]
    if exchange := _EXCHANGE.search(line):
        return f"{exchange[2]} ({exchange[1]})"
    return line or type(error).__name__


@functools.cache
def _end_gently() -> None:
    """Once a store was opened, let the process end a moment later."""
    atexit.register(time.sleep, _LAST_SECONDS)


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
