"""Everything that is open while clips are made."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from prefect_seedance import doors
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.clips.archive import Archivist
from prefect_seedance.clips.former import FormerClips
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Poller
from prefect_seedance.clips.records import clip_prefix
from prefect_seedance.doors import ARCHIVE_VARIABLE
from prefect_seedance.errors import ArchiveError, SeedanceError, SetupError
from prefect_seedance.film.seams import Inspector
from prefect_seedance.options import Hosting
from prefect_seedance.printable import get_logger
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.video.kept_scans import KeptScans

_log = get_logger(__name__)

_IMAGES_AT_ONCE = 4
"""Images in memory at a time, each of up to 100 MB, though hardly any is that large."""

OpenArchive = Callable[[str | StoredArchive], Awaitable[Store]]
"""Opens the store of an archive."""


async def open_archive(archive: str | StoredArchive) -> Store:
    """Open a folder, a bucket, or the archive that SEEDANCE_ARCHIVE names.

    Raises:
        SetupError: If there is no such archive, or its name is one that Prefect stores.
    """
    if not isinstance(archive, str):
        return await archive.open()
    url = archive or archive_from_env()
    if url.startswith(BLOCK_PREFIX):
        raise SetupError(
            f"The archive {url} is a Prefect block, which this function cannot load; "
            "give the archive's URL, or use prefect_seedance.produce"
        )
    return Store.open(url)


def archive_from_env() -> str:
    """Return the archive that SEEDANCE_ARCHIVE names: a URL, or ``block:NAME``.

    Raises:
        SetupError: If it is not set.
    """
    archive = os.environ.get(ARCHIVE_VARIABLE, "")
    if not archive:
        raise SetupError(f"There is no archive. Set {doors.archive()}")
    return archive


def is_missing_folder(archive: str) -> bool:
    """Return whether an archive is a folder that does not exist."""
    if archive.startswith(BLOCK_PREFIX):
        return False
    path = unquote(archive.removeprefix("file://")) if archive.startswith("file:///") else archive
    return "://" not in path and not Path(path).expanduser().is_dir()


def no_archive(archive: str) -> SetupError:
    """Return the error of an archive that does not exist."""
    return SetupError(f"There is no archive at {archive}; give the folder or bucket that has the clips")


@dataclass(frozen=True, kw_only=True)
class Session:
    """The open client, poller and archive of a run.

    Attributes:
        hosting: One for each image that may be in memory, on its way to the archive.
        objects: Reads images that are objects in a store themselves.
        former: Finds clips that an older version bought, of whatever plan they are.
        turns: By image, which clip stores it, so that two clips do not store it twice.
    """

    client: SeedanceClient
    poller: Poller
    store: Store
    ledger: Ledger
    archivist: Archivist
    inspector: Inspector
    hosting: asyncio.Semaphore
    objects: Objects
    former: FormerClips
    turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: RunSettings, *, open_archive: OpenArchive = open_archive
    ) -> AsyncIterator["Session"]:
        """Open a session for one account and one archive."""
        store, waiting, scans = await open_archive(settings.archive), settings.waiting, KeptScans()
        async with (
            settings.credentials.get_client(timeout_seconds=waiting.timeout_seconds) as client,
            Downloader(settings.credentials.host_policy) as downloader,
            Poller(client, waiting=waiting) as poller,
        ):
            if client.account.refused_seconds:
                # A new run finds out for free whether the account is in order again.
                with suppress(SeedanceError):
                    await client.balance()
            yield cls(
                client=client,
                poller=poller,
                store=store,
                ledger=Ledger(store),
                archivist=Archivist(
                    store=store,
                    client=client,
                    downloader=downloader,
                    settling_seconds=waiting.settling_seconds,
                    scans=scans,
                ),
                inspector=Inspector(store=store, policy=settings.credentials.host_policy, scans=scans),
                hosting=asyncio.Semaphore(_IMAGES_AT_ONCE),
                objects=Objects(open_archive),
                former=FormerClips(store),
            )

    def image_host(self, hosting: Hosting) -> ImageHost:
        """Return the host that makes a run's images available to the API."""
        return ImageHost(
            store=self.store,
            objects=self.objects,
            turns=self.turns,
            images_url=hosting.images_url,
            lifetime_seconds=hosting.images_lifetime_seconds,
        )

    async def sweep(self, manifest: Manifest) -> None:
        """Remove what killed runs of a production left half written; the next run can do it too."""
        current = {each.fingerprint for each in manifest.clips}
        clips = map(clip_prefix, current.union(each.fingerprint for each in manifest.former))
        try:
            await self.store.sweep([*clips, "images/", production_key(manifest.production, "")])
        except ArchiveError as error:
            _log.warning("Unfinished files in %s could not be removed: %s", self.store.url, error)
