"""What Prefect stores for its users: the account's credentials, and archives by name."""

import os
from decimal import Decimal
from typing import Self

import httpx
from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from prefect.filesystems import LocalFileSystem
from pydantic import Field, SecretStr, model_validator

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Limiter
from prefect_seedance.api.callback_urls import CALLBACK_SECRET_VARIABLE, Callbacks, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import DEFAULT_BASE_URL, Provider
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.s3_block import open_bucket
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.store import Store

API_KEY_VARIABLE = "SEEDANCE_API_KEY"
BASE_URL_VARIABLE = "SEEDANCE_BASE_URL"
ARCHIVE_VARIABLE = "SEEDANCE_ARCHIVE"

_LIMITERS: dict[tuple[str, str], Limiter] = {}
"""By base URL and key: all clients of an account, in all threads, share its budget."""


class SeedanceCredentials(CredentialsBlock):
    """An account at the Seedance API, and how to use it.

    Example:
        Load stored credentials and ask for the state of a generation:
        ```python
        from prefect_seedance import SeedanceCredentials

        credentials = SeedanceCredentials.load("BLOCK_NAME")
        async with credentials.get_client() as client:
            generation = await client.status("task_12345678")
        ```
    """

    _block_type_name = "Seedance Credentials"
    _block_type_slug = "seedance-credentials"
    _documentation_url = "https://github.com/prefect-seedance/prefect-seedance"  # type: ignore[assignment]  # Prefect coerces it

    api_key: SecretStr = Field(description="The API key; it is sent to the base URL's host and nowhere else.")
    base_url: str = Field(default=DEFAULT_BASE_URL, description="Where the API is.")
    provider: Provider = Field(
        default="auto", description="Routing strategy: auto, value (cheaper) or official."
    )
    model: str = Field(default=DEFAULT_MODEL, description="Id of the model, as in the API's paths.")
    requests_per_minute: int = Field(
        default=REQUESTS_PER_MINUTE, gt=0, description="The account's limit of requests a minute."
    )
    generations_in_flight: int = Field(
        default=GENERATIONS_IN_FLIGHT, gt=0, description="The account's limit of concurrent generations."
    )
    price_per_second: Decimal = Field(
        default=Decimal(0),
        ge=0,
        description="What a second of video costs the account, in its currency; 0 if that is not known.",
    )
    callback_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What callbacks' addresses are signed with, for runs and receiver alike; otherwise "
        "SEEDANCE_CALLBACK_SECRET. Of several, with a space between, the first signs and all are accepted.",
    )

    @classmethod
    def from_env(cls) -> Self:
        """Take the key from SEEDANCE_API_KEY, and the host from SEEDANCE_BASE_URL if that is set.

        Raises:
            SetupError: If there is no key.
        """
        api_key = os.environ.get(API_KEY_VARIABLE, "")
        if not api_key:
            raise SetupError(
                f"There is no API key. Set {API_KEY_VARIABLE}, or name a stored credentials block"
            )
        return cls(api_key=SecretStr(api_key), base_url=os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL)

    @classmethod
    async def find(cls, credentials: Self | str) -> Self:
        """Return the credentials that are meant: themselves, stored under a name, or the environment's.

        Raises:
            SetupError: If there are none.
        """
        if isinstance(credentials, cls):
            return credentials
        if not credentials:
            return cls.from_env()
        try:
            return await cls.aload(str(credentials))
        except ValueError as error:
            raise SetupError(f"There are no stored credentials named {credentials!r}: {error}") from error

    @property
    def _callback_secret(self) -> str:
        return self.callback_secret.get_secret_value() or os.environ.get(CALLBACK_SECRET_VARIABLE, "")

    def callback_secrets(self) -> Secrets:
        """Return what callbacks' addresses are signed with.

        Raises:
            SetupError: If there is no secret, or a weak one.
        """
        return Secrets.parse(self._callback_secret)

    def callbacks(self, base_url: str) -> Callbacks | None:
        """Return where the API shall tell that generations have ended, or None if it shall not.

        Args:
            base_url: The receiver's public address; empty for no callbacks.

        Raises:
            SetupError: If the address is none or unencrypted, or there is no good secret.
        """
        if not base_url:
            return None
        return Callbacks.open(base_url, secret=self._callback_secret, api_url=self.base_url)

    def get_client(self, *, timeout_seconds: float = 60.0) -> SeedanceClient:
        """Return a client for this account, to be used as an async context manager.

        Args:
            timeout_seconds: Bound of one request.
        """
        key = self.api_key.get_secret_value()
        limiter = _LIMITERS.setdefault((self.base_url, key), Limiter(self.requests_per_minute))
        return SeedanceClient(
            key,
            base_url=self.base_url,
            model=self.model,
            timeout_seconds=timeout_seconds,
            limiter=limiter,
        )


class ClipArchive(Block):
    """Where clips and ledger live: at a URL, or where another stored block says.

    Wherever an archive is asked for, ``block:NAME`` means the one that is stored under this name.

    Example:
        Load a stored archive and read its manifest of a production:
        ```python
        from prefect_seedance import ClipArchive

        archive = ClipArchive.load("BLOCK_NAME")
        store = await archive.open()
        manifest = await store.read("productions/lighthouse/manifest.json")
        ```
    """

    _block_type_name = "Clip Archive"
    _block_type_slug = "clip-archive"
    _documentation_url = "https://github.com/prefect-seedance/prefect-seedance"  # type: ignore[assignment]  # Prefect coerces it

    url: str = Field(
        default="",
        title="URL",
        description="A folder's path, or s3://, gs:// or az:// with a bucket that opens to the worker's own "
        "environment.",
    )
    s3_bucket: str = Field(
        default="",
        title="S3 Bucket",
        description="Instead of a URL: the name of a stored S3 Bucket block of prefect-aws, whose folder, "
        "credentials, region and endpoint hold.",
    )
    local_file_system: str = Field(
        default="",
        description="Instead of a URL: the name of a stored Local File System block, whose base path holds.",
    )

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if sum(map(bool, (self.url, self.s3_bucket, self.local_file_system))) != 1:
            raise ValueError(
                "give one of a URL, the name of an S3 Bucket block, and the name of a Local File System block"
            )
        return self

    @classmethod
    def from_env(cls) -> Self:
        """Take the URL from SEEDANCE_ARCHIVE.

        Raises:
            SetupError: If there is none, or it names a stored archive, which is to be loaded.
        """
        url = archive_from_env()
        if url.startswith(BLOCK_PREFIX):
            name = url.removeprefix(BLOCK_PREFIX)
            raise SetupError(
                f"{ARCHIVE_VARIABLE} names a stored archive; load it: ClipArchive.load({name!r})"
            )
        return cls(url=url)

    async def open(self) -> Store:
        """Open the store.

        Raises:
            SetupError: If it names no such place, or there are no credentials for it.
        """
        if self.url:
            return Store.open(self.url)
        if self.local_file_system:
            return Store.open(await _base_path(self.local_file_system))
        stored = self._block_document_name
        return await open_bucket(self.s3_bucket, name=f"{BLOCK_PREFIX}{stored}" if stored else "")


async def _base_path(stored: str) -> str:
    try:
        block: LocalFileSystem = await LocalFileSystem.aload(stored)
    except ValueError as error:
        raise SetupError(f"There is no stored Local File System block named {stored!r}: {error}") from error
    return block.basepath or "."  # where the process works, as for Prefect


def archive_from_env() -> str:
    """Return the archive that SEEDANCE_ARCHIVE names, by URL or by its name after ``block:``.

    Raises:
        SetupError: If it names none.
    """
    archive = os.environ.get(ARCHIVE_VARIABLE, "")
    if not archive:
        raise SetupError(f"There is no archive. Name one, or set {ARCHIVE_VARIABLE}")
    return archive


async def open_archive(archive: ClipArchive | str) -> Store:
    """Open the store that is meant: a block's, a stored one's after ``block:``, a URL's, the environment's.

    Raises:
        SetupError: If there is none.
    """
    if isinstance(archive, ClipArchive):
        return await archive.open()
    url = archive or archive_from_env()
    if not url.startswith(BLOCK_PREFIX):
        return Store.open(url)
    name = url.removeprefix(BLOCK_PREFIX)
    try:
        stored: ClipArchive = await ClipArchive.aload(name)
    except ValueError as error:
        raise SetupError(f"There is no stored archive named {name!r}: {error}") from error
    except httpx.HTTPError as error:
        raise SetupError(f"The Prefect server cannot be asked for the archive {name!r}: {error}") from error
    return await stored.open()
