"""Open the archive that a command names."""

from prefect_seedance.production import session as plain
from prefect_seedance.production.session import archive_from_env, is_missing_folder, no_archive
from prefect_seedance.production.settings import StoredArchive
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.store import Store


async def open_archive(archive: str | StoredArchive) -> Store:
    """Open an archive; Prefect is loaded only for the name of a block.

    Raises:
        SetupError: If there is no such archive.
    """
    named = isinstance(archive, str) and (archive or archive_from_env()).startswith(BLOCK_PREFIX)
    if not named:
        return await plain.open_archive(archive)
    from prefect_seedance.orchestration import blocks  # noqa: PLC0415 -- loads Prefect

    return await blocks.open_archive(archive)


async def open_to_plan(archive: str | StoredArchive) -> Store:
    """Open an archive as `open_archive` does, without creating a folder that is missing."""
    is_block = not isinstance(archive, str) or archive.startswith(BLOCK_PREFIX)
    return await open_archive(archive) if is_block else Store.open(str(archive), create=False)


async def open_if_exists(archive: str) -> Store | None:
    """Open an archive, or return None if it is a folder that does not exist."""
    return None if is_missing_folder(archive) else await open_archive(archive)


async def open_existing(archive: str) -> Store:
    """Open an archive that must exist.

    Raises:
        SetupError: If it does not exist.
    """
    store = await open_if_exists(archive)
    if store is None:
        raise no_archive(archive)
    return store
