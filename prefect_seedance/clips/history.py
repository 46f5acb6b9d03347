"""The status of a clip, as the archive knows it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger, or_unreadable
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.clips.retry import decisive, forbidding
from prefect_seedance.errors import UnreadableRecordError
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storage.store import Store


class ClipStatus(StrEnum):
    """Where a clip is on its way from the storyboard to the archive."""

    new = "new"
    """It was never submitted."""
    queued = "queued"
    """It waits for one of the account's slots."""
    submitting = "submitting"
    """A run submits it, or may still record the answer."""
    unresolved = "unresolved"
    """It was submitted, and no run knows whether the API accepted it."""
    unreadable = "unreadable"
    """One of its records cannot be read, so it is not submitted."""
    in_flight = "in flight"
    """The API accepted it, and still works on it, as far as is known."""
    not_archived = "not archived"
    """The API finished it; it is paid, and no run could archive it yet."""
    archiving = "archiving"
    archived = "archived"
    made = "made"
    """This run archived it."""
    reused = "reused"
    """An earlier run archived it."""
    failed = "failed"
    not_submitted = "not submitted"
    """The last submission was refused or never arrived; nothing was billed."""
    lost = "lost"
    """A person declared the last submission lost."""


_STATUS_OF_RESULT: Mapping[Result, ClipStatus] = {
    Result.success: ClipStatus.not_archived,
    Result.failed: ClipStatus.failed,
    Result.not_started: ClipStatus.not_submitted,
    Result.lost: ClipStatus.lost,
}


@dataclass(frozen=True)
class ClipHistory:
    """The records of one clip.

    Attributes:
        fingerprint: Of the clip.
        attempts: The oldest first.
        clip: The archived video; None if there is none.
        unreadable: The error of each record that cannot be read.
    """

    fingerprint: str = ""
    attempts: tuple[Attempt, ...] = ()
    clip: Clip | None = None
    unreadable: tuple[UnreadableRecordError, ...] = ()

    @property
    def decisive(self) -> Attempt | None:
        """The attempt that decides about the clip."""
        return decisive(self.attempts)

    @property
    def status(self) -> ClipStatus:
        """The status that the records show."""
        attempt = self.decisive
        if self.clip:
            return ClipStatus.archived
        if self.unreadable:
            return ClipStatus.unreadable
        if attempt is None:
            return ClipStatus.new
        if attempt.undecided:
            return ClipStatus.submitting if attempt.settling_seconds else ClipStatus.unresolved
        if attempt.outcome is None:
            return ClipStatus.in_flight
        return _STATUS_OF_RESULT[attempt.outcome.result]

    def is_bought(self, policy: RetryPolicy) -> bool:
        """Return whether a run with this policy would buy the clip."""
        if self.status in {ClipStatus.failed, ClipStatus.not_submitted, ClipStatus.lost}:
            return forbidding(self.attempts, policy) is None
        if self.status is ClipStatus.unresolved:
            return policy.on_unresolved == "resubmit"
        return self.status is ClipStatus.new


async def clip_histories(
    store: Store, fingerprints: Iterable[str], *, skip_archived: bool = False
) -> Mapping[str, ClipHistory]:
    """Read the records of these clips, by fingerprint.

    Args:
        store: The archive.
        fingerprints: Of the clips.
        skip_archived: Whether to read no attempts of archived clips, about which nothing is to be decided.
    """
    ledger, readers = Ledger(store), asyncio.Semaphore(CONCURRENT_READS)

    async def read(fingerprint: str) -> tuple[str, ClipHistory]:
        async with readers:
            if skip_archived:
                found = await or_unreadable(find_clip, store, fingerprint)
                if isinstance(found, Clip):
                    return fingerprint, ClipHistory(fingerprint, clip=found)
            (attempts, unreadable), clip = await asyncio.gather(
                ledger.readable_attempts(fingerprint), or_unreadable(find_clip, store, fingerprint)
            )
        if isinstance(clip, UnreadableRecordError):
            return fingerprint, ClipHistory(fingerprint, attempts, None, (*unreadable, clip))
        return fingerprint, ClipHistory(fingerprint, attempts, clip, unreadable)

    return dict(await asyncio.gather(*map(read, fingerprints)))
