"""The place that a store is in: opened by its URL, and understood when it refuses."""

import atexit
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import obstore.exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, ObjectStore, S3Store

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.multipart import Uploads

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3CredentialProvider

_BUCKETS: Mapping[str, type[S3Store | GCSStore | AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}

_PATIENT: "RetryConfig" = {"retry_timeout": timedelta(minutes=3), "max_retries": 20}
"""What was paid for is written with patience: the id of an accepted generation shall outlive a storage's bad
minutes."""

_BRISK: "RetryConfig" = {"retry_timeout": timedelta(seconds=30), "max_retries": 6}
"""Everything else says soon that the storage does not answer."""

_LAST_SECONDS = 0.05
"""Measured: a process that ends within milliseconds of an answer of obstore's aborts every fifth time,
for its threads still hold Python's objects; of those that wait so long none does."""

_MEMORIES: dict[str, MemoryStore] = {}
"""A ``memory://`` store lives as long as the process, so that everyone who names it sees the same."""

_ANSWER = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)
"""How buckets refuse."""

_EXCHANGE = re.compile(r"Error performing \w+ (https?://[^/\s]+)\S* in .*? - (.+)")
"""How obstore tells that a bucket did not answer."""

_DISTRUST = re.compile(r"InvalidCertificate\(\s*(\w+)")
"""How it tells, in its debug output only, that nobody vouches for who answered."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A folder, or a bucket of S3, GCS or Azure.

    Attributes:
        url: The folder's path or the bucket's URL, as people know it.
        reader: Gives up soon when the place does not answer.
        writer: Outlasts its bad minutes.
        folder: Where it is, if it is a folder.
        uploads: What was begun to be sent, if it is in S3 and boto is there to ask.
        expires_at: When the credentials end that it was opened with, as far as that is known.
    """

    url: str
    reader: ObjectStore
    writer: ObjectStore
    folder: Path | None = None
    uploads: Uploads | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        _end_gently()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a folder's path, ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://``.

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
            memory = _MEMORIES.setdefault(url, MemoryStore())
            return cls(url=url, reader=memory, writer=memory)
        if scheme in _BUCKETS:
            kind = _BUCKETS[scheme]
            with translated_errors(f"open {url}", SetupError):
                reader, writer = (kind.from_url(url, retry_config=retry) for retry in (_BRISK, _PATIENT))
                until = _environments_expiry() if scheme == "s3" else None
                uploads = Uploads.at(url) if scheme == "s3" else None
                return cls(
                    url=url.rstrip("/"), reader=reader, writer=writer, uploads=uploads, expires_at=until
                )
        raise SetupError(
            f"{url!r} is no place to archive in; give a folder's path, or s3://, gs:// or az:// with a bucket"
        )

    @classmethod
    def open_s3(
        cls,
        bucket: str,
        *,
        prefix: str,
        config: "S3Config",
        client: "ClientConfig",
        credentials: "S3CredentialProvider",
        boto: Callable[[], Any],
        expires_at: datetime | None,
    ) -> Self:
        """Open a bucket of S3, or of a service that speaks its language, with credentials of one's own.

        Args:
            bucket: Its name.
            prefix: The folder in it.
            config: How obstore finds it.
            client: How obstore speaks to it.
            credentials: Returns the keys to use for a while.
            boto: Returns boto's client of the same.
            expires_at: When the keys end, if that is known.

        Raises:
            SetupError: If the options contradict each other.
        """
        folder = prefix.strip("/")

        def opened(retry: "RetryConfig") -> S3Store:
            return S3Store(
                bucket,
                prefix=folder or None,
                config=config,
                client_options=client,
                retry_config=retry,
                credential_provider=credentials,
            )

        url = f"s3://{bucket}/{folder}".rstrip("/")
        uploads = Uploads(bucket=bucket, prefix=folder and f"{folder}/", client=boto)
        with translated_errors(f"open {url}", SetupError):
            return cls(
                url=url,
                reader=opened(_BRISK),
                writer=opened(_PATIENT),
                uploads=uploads,
                expires_at=expires_at,
            )

    @classmethod
    def _open_folder(cls, path: Path) -> Self:
        with translated_errors(f"make the archive's folder {path}", SetupError):
            folder = path.expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
        local = LocalStore(folder)
        return cls(url=str(folder), reader=local, writer=local, folder=folder)

    @property
    def bucket(self) -> S3Store | GCSStore | AzureStore | None:
        """The bucket, if it is one."""
        return self.reader if isinstance(self.reader, S3Store | GCSStore | AzureStore) else None


def _environments_expiry() -> datetime | None:
    """Return when the environment's keys end, which AWS's own commands write beside them."""
    try:
        found = datetime.fromisoformat(os.environ.get("AWS_CREDENTIAL_EXPIRATION", ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def translated_errors(doing: str, kind: type[ArchiveError | SetupError] = ArchiveError) -> Iterator[None]:
    """Raise one readable error for whatever the storage raises inside."""
    try:
        yield
    except (obstore.exceptions.BaseError, OSError, ValueError, RuntimeError) as error:
        raise kind(f"Could not {doing}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """Take what the storage says out of what obstore says, and drop its debug output."""
    said, _, details = str(error).partition("\n\nDebug source:")
    if answer := _ANSWER.search(said):
        return f"{' '.join(answer[2].split()).rstrip('.')} ({answer[1]})"
    line = said.partition("\n")[0]
    if exchange := _EXCHANGE.search(line):
        distrust = _DISTRUST.search(details)
        reason = f"its certificate is not trusted: {distrust[1]}" if distrust else exchange[2].rstrip(": ")
        return f"{reason} ({exchange[1]})"
    return line or type(error).__name__


@functools.cache
def _end_gently() -> None:
    """Once a store was opened, let the process end a moment later."""
    atexit.register(time.sleep, _LAST_SECONDS)
