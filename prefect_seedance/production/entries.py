"""The manifest's entry of a clip, from what the ledger records."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from prefect_seedance.api import wall_clock
from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.retry import decisive
from prefect_seedance.clips.sources import expiry
from prefect_seedance.clips.submit import describe_run
from prefect_seedance.clips.unresolved import unresolved_message
from prefect_seedance.errors import SeedanceError, SubmissionUnresolvedError, UnreadableRecordError
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Entry, status_of
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip


@dataclass(kw_only=True)
class Bookkeeper:
    """Accounts for the clips of one run.

    Attributes:
        began_at: When the run began.
        seen: Attempts of this run, by fingerprint, in case the ledger cannot be read later.
    """

    store: Store
    ledger: Ledger
    settings: RunSettings
    began_at: datetime = field(default_factory=wall_clock.now)
    seen: dict[str, Attempt] = field(default_factory=dict)

    async def explain(self, clip: PlannedClip, error: BaseException) -> Entry:
        """Return the entry of a clip that the run could not finish."""
        try:
            attempts = await self.ledger.attempts(clip.fingerprint)
        except SeedanceError as unread:
            if clip.fingerprint in self.seen:
                attempts = (self.seen[clip.fingerprint],)
            elif isinstance(unread, UnreadableRecordError):
                return Entry.of(clip, ClipStatus.unreadable, error=unread)
            else:
                return Entry.of(clip, ClipStatus.unresolved, error=error)
        last = decisive(attempts)
        if last and last.has_video and (archived := await self._archived(clip)):
            billed = self._billed(attempts)
            return Entry.of(clip, ClipStatus.made, attempt=last, archived=archived, billed_seconds=billed)
        if last and last.undecided and not isinstance(error, SubmissionUnresolvedError):
            error = SubmissionUnresolvedError(unresolved_message(self.ledger, last))
        is_unreadable = isinstance(error, UnreadableRecordError)
        status = ClipStatus.unreadable if is_unreadable else status_of(last, error)
        return Entry.of(
            clip,
            status,
            attempt=last,
            error=error,
            note=self._note(last, status, error),
            billed_seconds=self._billed(attempts),
        )

    def _note(self, last: Attempt | None, status: ClipStatus, error: BaseException) -> str | None:
        """Return until when a video can be archived, or when a clip failed that this run did not submit."""
        if last is None or last.outcome is None:
            return None
        until = expiry(last.outcome, archive=self.ledger.archive)
        if status is ClipStatus.not_archived and until not in str(error):
            return until
        is_old = last.intent.run_id != self.settings.run_id and last.outcome.ended_at < self.began_at
        if status is ClipStatus.failed and last.has_failed and is_old:
            return f"it failed earlier, at {last.outcome.ended_at:%Y-%m-%d %H:%M} UTC"
        return None

    async def _archived(self, clip: PlannedClip) -> Clip | None:
        """Return the clip if it was archived just before the run was stopped."""
        try:
            return await find_clip(self.store, clip.fingerprint)
        except SeedanceError:
            return None

    async def billed_seconds(self, attempt: Attempt) -> int:
        """Return the seconds of video that this run submitted for a clip that it waited for."""
        if attempt.intent.run_id == self.settings.run_id:  # a run pays for a clip once
            return attempt.billed_seconds
        return self._billed(await self.ledger.attempts(attempt.intent.fingerprint))

    def _billed(self, attempts: Iterable[Attempt]) -> int:
        return sum(each.billed_seconds for each in attempts if each.intent.run_id == self.settings.run_id)

    async def open_attempt(self, clip: PlannedClip) -> Attempt | None:
        """Return another attempt that may still get the clip's video, after one has failed."""
        attempt = decisive(await self.ledger.attempts(clip.fingerprint))
        return attempt if attempt and attempt.is_open else None

    async def resubmitted(self, attempt: Attempt) -> str | None:
        """Name the unresolved attempts that this run gave up in order to submit this one."""
        if self.settings.retry.on_unresolved != "resubmit":
            return None
        given_up = [
            str(each.intent.number)
            for each in await self.ledger.attempts(attempt.intent.fingerprint)
            if each.outcome and each.outcome.resolved_by == self._author
        ]
        if not given_up:
            return None
        return (
            f"attempt {', '.join(given_up)} was unresolved, and the clip was submitted again: "
            "it may be billed twice"
        )

    @property
    def _author(self) -> str:
        return describe_run(self.settings.flow_run)


def origin(entry: Entry) -> str:
    """Return whether a run reused, submitted or resumed a clip; empty if nothing was submitted."""
    if entry.status in {ClipStatus.reused, ClipStatus.unresolved}:
        return entry.status
    if entry.billed_seconds:
        return "submitted"
    return "resumed" if entry.generation_id else ""
