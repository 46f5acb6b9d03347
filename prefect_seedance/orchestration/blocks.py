"""Blocks that store credentials, and archives by name."""

from typing import Self

import httpx
from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from prefect.filesystems import LocalFileSystem
from pydantic import Field, ValidationError, model_validator

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.doors import ARCHIVE_VARIABLE
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.s3_block import open_bucket
from prefect_seedance.production import session as plain
from prefect_seedance.production.session import archive_from_env
from prefect_seedance.production.settings import StoredArchive
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.store import Store


class SeedanceCredentials(Credentials, CredentialsBlock):
    """An account at the Seedance API, and how to use it.

    Example:
        Load stored credentials and read the state of a generation:
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


async def find_credentials(credentials: Credentials | str | None) -> Credentials:
    """Return the credentials themselves, the block stored under a name, or those of the environment.

    Raises:
        SetupError: If there are none.
    """
    if isinstance(credentials, Credentials):
        return credentials
    if not credentials:
        return Credentials.from_env()
    try:
        stored: SeedanceCredentials = await SeedanceCredentials.aload(credentials)
    except ValueError as error:
        raise SetupError(
            f"There is no Seedance Credentials block named {credentials!r} ({error}); "
            "check the name, or create the block"
        ) from error
    except RuntimeError as error:  # Prefect's, if a field is invalid; the cause holds the key
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise SetupError(
            f"The Seedance Credentials block {credentials!r} is invalid: {_problem(error.__cause__)}; "
            "correct the block"
        ) from None
    return stored


def _problem(invalid: ValidationError) -> str:
    """Return the first problem, without the values."""
    first = invalid.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"


class ClipArchive(Block):
    """Where clips and ledger are stored: at a URL, or in the bucket or folder of another block.

    ``block:NAME`` refers to a Clip Archive block wherever an archive is expected.

    Example:
        Load a stored archive and read the manifest of a production:
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
        description="Path of a folder, or URL of a bucket (s3://, gs://, az://) with credentials from the "
        "worker's environment.",
    )
    s3_bucket: str = Field(
        default="",
        title="S3 Bucket",
        description="Instead of a URL: name of an S3 Bucket block (prefect-aws), whose folder, "
        "credentials, region and endpoint are used.",
    )
    local_file_system: str = Field(
        default="",
        description="Instead of a URL: name of a Local File System block, whose base path is used.",
    )

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if sum(map(bool, (self.url, self.s3_bucket, self.local_file_system))) != 1:
            raise ValueError(
                "give exactly one: a URL, an S3 Bucket block's name, or a Local File System block's name"
            )
        return self

    @classmethod
    def from_env(cls) -> Self:
        """Read the URL from SEEDANCE_ARCHIVE.

        Raises:
            SetupError: If it is not set, or names a stored archive, which has to be loaded.
        """
        url = archive_from_env()
        if url.startswith(BLOCK_PREFIX):
            name = url.removeprefix(BLOCK_PREFIX)
            raise SetupError(
                f"{ARCHIVE_VARIABLE} names a Clip Archive block; load it with ClipArchive.load({name!r})"
            )
        return cls(url=url)

    async def open(self) -> Store:
        """Open the store.

        Raises:
            SetupError: If there is no such place, or no credentials for it.
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
        raise SetupError(
            f"There is no Local File System block named {stored!r} ({error}); "
            "check the name, or create the block"
        ) from error
    return block.basepath or "."  # the working directory, as in Prefect


async def open_archive(archive: str | StoredArchive) -> Store:
    """Open the store of a block, of a stored block (``block:NAME``), of a URL or of the environment.

    Raises:
        SetupError: If there is no such archive.
    """
    url = (archive or archive_from_env()) if isinstance(archive, str) else ""
    if not url.startswith(BLOCK_PREFIX):
        return await plain.open_archive(archive)
    name = url.removeprefix(BLOCK_PREFIX)
    try:
        stored: ClipArchive = await ClipArchive.aload(name)
    except ValueError as error:
        raise SetupError(
            f"There is no Clip Archive block named {name!r} ({error}); check the name, or create the block"
        ) from error
    except httpx.HTTPError as error:
        raise SetupError(
            f"The Prefect server did not return the Clip Archive block {name!r} ({error}); "
            "check the server, and PREFECT_API_URL"
        ) from error
    return await stored.open()
