"""Judge clips by what an archive remembers of them."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.ledger import Attempt, Ledger, Result
from prefect_seedance.errors import SetupError
from prefect_seedance.storage.locations import BLOCK_PREFIX
from prefect_seedance.storage.store import Store

_READERS = 32
"""Clips read at once: a bucket answers them in parallel, and a folder keeps few files open."""


class State(StrEnum):
    """What an archive knows of a clip."""

    new = "new"
    """It was never asked for."""
    being_asked = "being asked for"
    """Another run submits it at this moment."""
    unresolved = "unresolved"
    in_flight = "in flight"
    made = "made"
    """The API has made it, and it is not archived yet."""
    archived = "archived"
    failed = "failed"
    not_started = "not started"
    """The last submission was refused or never arrived; nothing was billed."""
    lost = "lost"
    """Somebody has said that nothing will come of the last submission."""


_ENDS: Mapping[Result, State] = {
    Result.success: State.made,
    Result.failed: State.failed,
    Result.not_started: State.not_started,
    Result.lost: State.lost,
}


@dataclass(frozen=True)
class ClipHistory:
    """What is known of one clip.

    Attributes:
        attempts: The oldest first.
    """

    attempts: tuple[Attempt, ...] = ()
    clip: Clip | None = None

    @property
    def last(self) -> Attempt | None:
        """The attempt that decides."""
        return self.attempts[-1] if self.attempts else None

    @property
    def state(self) -> State:
        """What the clip's state comes to."""
        if self.clip:
            return State.archived
        if self.last is None:
            return State.new
        if self.last.undecided:
            return State.being_asked if self.last.settling_seconds else State.unresolved
        if self.last.outcome is None:
            return State.in_flight
        return _ENDS[self.last.outcome.result]


async def existing(archive: str) -> Store | None:
    """Open an archive to read in it, or return None if it is a folder that is not there."""
    is_folder = "://" not in archive and not archive.startswith(BLOCK_PREFIX)
    return None if is_folder and not _is_there(archive) else await opened(archive)


def _is_there(folder: str) -> bool:
    return Path(folder).expanduser().is_dir()


async def opened(archive: str) -> Store:
    """Open an archive.

    Raises:
        SetupError: If it names no place.
    """
    if not archive.startswith(BLOCK_PREFIX):
        return Store.open(archive)
    from prefect_seedance.orchestration.blocks import open_archive  # noqa: PLC0415 -- loads Prefect

    return await open_archive(archive)


async def demanded(archive: str) -> Store:
    """Open an archive that must be there.

    Raises:
        SetupError: If it is not.
    """
    store = await existing(archive)
    if store is None:
        raise SetupError(
            f"There is no archive at {archive}; give the folder or bucket that clips were put in"
        )
    return store


async def recall(store: Store, fingerprints: Iterable[str]) -> Mapping[str, ClipHistory]:
    """Read what an archive knows of these clips."""
    ledger, readers = Ledger(store), asyncio.Semaphore(_READERS)

    async def one(fingerprint: str) -> tuple[str, ClipHistory]:
        async with readers:
            attempts, clip = await asyncio.gather(ledger.attempts(fingerprint), find_clip(store, fingerprint))
        return fingerprint, ClipHistory(attempts, clip)

    return dict(await asyncio.gather(*map(one, fingerprints)))
