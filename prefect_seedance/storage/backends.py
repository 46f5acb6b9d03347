"""Open folders and buckets, and translate their errors."""

import atexit
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import obstore.exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, ObjectStore, S3Store

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.locations import is_path
from prefect_seedance.storage.multipart import MultipartUploads

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3CredentialProvider

_BUCKETS: Mapping[str, type[S3Store | GCSStore | AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}

_WRITE_RETRY: "RetryConfig" = {"retry_timeout": timedelta(minutes=3), "max_retries": 20}
"""Writes survive outages of minutes, because they record paid work, such as a generation's id."""

_READ_RETRY: "RetryConfig" = {"retry_timeout": timedelta(seconds=30), "max_retries": 6}
"""Reads cost nothing, so they fail soon if the bucket does not answer."""

_EXIT_DELAY_SECONDS = 0.05
"""Measured: a process that exits within milliseconds after a response in obstore aborts in one of five cases,
because obstore's threads still use Python objects. With this delay it never does."""

_MEMORY_STORES: dict[str, MemoryStore] = {}
"""The ``memory://`` stores by URL; they live as long as the process."""

_ERROR_BODY = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)
"""The body of a bucket's error response."""

_NO_RESPONSE = re.compile(r"Error performing \w+ (https?://[^/\s]+)\S* in .*? - (.+)")
"""obstore's message if a bucket does not answer."""

_BAD_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
"""An untrusted TLS certificate, which only obstore's debug output names."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A folder, or a bucket of S3, GCS or Azure.

    Attributes:
        url: The folder's path or the bucket's URL.
        reader: For reads; fails soon if the bucket does not answer.
        writer: For writes; retries for minutes.
        folder: The folder, if it is one.
        uploads: The multipart uploads, if the bucket is in S3 and boto3 is installed.
        expires_at: When the credentials expire, if that is known.
    """

    url: str
    reader: ObjectStore
    writer: ObjectStore
    folder: Path | None = None
    uploads: MultipartUploads | None = None
    expires_at: datetime | None = None

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open a folder's path, ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://``.

        Args:
            url: Of the store.
            create: Whether a missing folder is created; otherwise it is empty, and stays missing.

        Raises:
            SetupError: If the URL is not supported, or the folder cannot be created.
        """
        scheme = url.partition("://")[0]
        if is_path(url):
            return cls._open_folder(Path(url), create=create)
        if url.startswith("file:///"):
            return cls._open_folder(Path(unquote(url.removeprefix("file://"))), create=create)
        if scheme == "memory":
            memory = _MEMORY_STORES.setdefault(url, MemoryStore())
            return cls(url=url, reader=memory, writer=memory)
        if scheme in _BUCKETS:
            kind = _BUCKETS[scheme]
            _check_user(url)
            with translated_errors(f"open {url}", SetupError):
                reader, writer = (
                    kind.from_url(url, retry_config=retry) for retry in (_READ_RETRY, _WRITE_RETRY)
                )
                _check_prefix(url, reader.prefix or "")
                expires_at = _environment_expiry() if scheme == "s3" else None
                uploads = MultipartUploads.below(url) if scheme == "s3" else None
                return cls(
                    url=url.rstrip("/"), reader=reader, writer=writer, uploads=uploads, expires_at=expires_at
                )
        raise SetupError(
            f"{url!r} is not a folder or bucket; use a folder's path, or s3://, gs:// or az:// with a bucket"
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
        """Open a bucket in S3, or in an S3-compatible service, with explicit credentials.

        Args:
            bucket: The bucket's name.
            prefix: The folder in the bucket.
            config: obstore's configuration of the bucket.
            client: obstore's configuration of the HTTP client.
            credentials: Returns temporary or permanent keys.
            boto: Returns a boto3 client for the same bucket.
            expires_at: When the keys expire, if that is known.

        Raises:
            SetupError: If the options are invalid.
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
        uploads = MultipartUploads(bucket=bucket, prefix=folder and f"{folder}/", client=boto)
        with translated_errors(f"open {url}", SetupError):
            return cls(
                url=url,
                reader=opened(_READ_RETRY),
                writer=opened(_WRITE_RETRY),
                uploads=uploads,
                expires_at=expires_at,
            )

    @classmethod
    def _open_folder(cls, path: Path, *, create: bool) -> Self:
        with translated_errors(f"create the archive's folder {path}", SetupError):
            folder = path.expanduser().absolute()
            str(folder).encode()  # a name that is not UTF-8 cannot be recorded
            missing = [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        if missing and not create:
            with suppress(OSError):  # another process has just put something into it
                for each in missing:
                    each.rmdir()
            return cls(url=str(folder), reader=(empty := MemoryStore()), writer=empty, folder=folder)
        local = LocalStore(folder, automatic_cleanup=True)  # a probe leaves no empty folder
        return cls(url=str(folder), reader=local, writer=local, folder=folder)

    @property
    def bucket(self) -> S3Store | GCSStore | AzureStore | None:
        """The bucket; None for a folder or memory."""
        return self.reader if isinstance(self.reader, S3Store | GCSStore | AzureStore) else None


def _check_user(url: str) -> None:
    """Refuse a URL with a user, which may be a key: manifests, reports and events name the archive.

    Raises:
        SetupError: If there is one. The message does not repeat it.
    """
    scheme, _, rest = url.partition("://")
    _, has_user, bucket = rest.partition("/")[0].rpartition("@")
    if has_user:
        raise SetupError(
            f"The URL of the archive {scheme}://{bucket} has a user or a key before @, which would be stored "
            "and shown. Remove it, and give keys in the environment or in a block"
        )


def _check_prefix(url: str, kept: str) -> None:
    """Refuse a URL whose prefix is not literally the one that objects would get.

    Raises:
        SetupError: If they would get another one: a URL ends at ``#`` or ``?``, and ``%20`` is a space in it.
    """
    bucket, _, prefix = url.partition("://")[2].partition("/")
    if prefix.strip("/") == kept and not set(bucket) & set("#?%"):
        return
    raise SetupError(
        f"{url!r} would be stored below {kept!r}, because # and ? end a URL and %20 means a space in it. "
        "Name a prefix without #, ?, % codes, empty parts and dots; for objects that are stored below "
        f"{kept!r}, name that"
    )


def _environment_expiry() -> datetime | None:
    """Return when the environment's keys expire; AWS's own commands export this time with the keys."""
    try:
        expiry = datetime.fromisoformat(os.environ.get("AWS_CREDENTIAL_EXPIRATION", ""))
    except ValueError:
        return None
    return expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)


@contextmanager
def translated_errors(action: str, kind: type[ArchiveError | SetupError] = ArchiveError) -> Iterator[None]:
    """Translate every error of the storage into one of this package, in one line."""
    try:
        yield
    except (obstore.exceptions.BaseError, OSError, ValueError, RuntimeError) as error:
        raise kind(f"Could not {action}: {_reason(error)}") from None
    finally:
        _EXIT.delay()


def _reason(error: Exception) -> str:
    """Return the storage's own message in one line, without obstore's debug output."""
    message, _, details = str(error).partition("\n\nDebug source:")
    if body := _ERROR_BODY.search(message):
        return f"{' '.join(body[2].split()).rstrip('.')} ({body[1]})"
    line = message.partition("\n")[0]
    if failure := _NO_RESPONSE.search(line):
        bad = _BAD_CERTIFICATE.search(details)
        reason = f"its certificate is not trusted: {bad[1]}" if bad else failure[2].rstrip(": ")
        return f"{reason} ({failure[1]})"
    return line or type(error).__name__


class _Exit:
    """The exit of the process, which waits for a moment after the last use of a store."""

    def __init__(self) -> None:
        self._earliest = 0.0
        atexit.register(self._wait)

    def delay(self) -> None:
        """Note that a store was used."""
        self._earliest = time.monotonic() + _EXIT_DELAY_SECONDS

    def _wait(self) -> None:
        time.sleep(max(0.0, self._earliest - time.monotonic()))


_EXIT = _Exit()
