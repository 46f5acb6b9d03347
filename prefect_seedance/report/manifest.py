"""The manifest of a production: the status of every clip, and the bill."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from prefect_seedance.api.announcements import Announcement
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.record_format import parse_record
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.clips.sources import is_lost
from prefect_seedance.errors import (
    ArchiveError,
    AuthenticationError,
    BlockedError,
    ConnectionFailedError,
    ContentRejectedError,
    DeadlineError,
    IncompleteError,
    ModelUnavailableError,
    RedirectedError,
    SetupError,
    SubmissionUnresolvedError,
    UnreadableRecordError,
)
from prefect_seedance.film.inspections import Seams, VideoInspection
from prefect_seedance.film.scenes import Film, Scene
from prefect_seedance.printable import one_line
from prefect_seedance.report.formatting import tally
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.reasons import reasons
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip, key_name

_OF_SETUP = {
    kind.__name__
    for kind in (AuthenticationError, BlockedError, ModelUnavailableError, RedirectedError, SetupError)
}
"""Errors after which nothing was spent, and that the key, the base URL, the network or the model causes."""

_SLATE_SECONDS = 4
"""Length of a slate where the clip's duration is unknown: the shortest that the model makes."""


def status_of(last: Attempt | None, error: BaseException) -> ClipStatus:
    """Return the status of a clip without a video, from its last attempt or else from the error."""
    if last is None:
        return ClipStatus.not_submitted
    if last.undecided or isinstance(error, SubmissionUnresolvedError):
        return ClipStatus.unresolved
    if last.outcome is None:
        return ClipStatus.in_flight
    if last.outcome.result is Result.success:
        return ClipStatus.failed if is_lost(last.outcome, error) else ClipStatus.not_archived
    if last.outcome.result is Result.failed or isinstance(error, ContentRejectedError):
        return ClipStatus.failed
    return ClipStatus.not_submitted


class Entry(BaseModel):
    """The status of one clip.

    Attributes:
        status: Failed for an archived clip means that it misses the required similarity.
        duration_seconds: Of the clip as planned; None in the oldest manifests.
        billed_seconds: Of video, submitted by this run. Failed generations count: the API may bill them.
        reason: Why there is no video and the remedy, or a remark.
        cause: Name of the error class behind the reason.
        code: The API's ``failCode``, or else the cause.
        expires_at: When the API stops serving its video; None if it has not finished one.
        inspection: None if the video was not inspected; the seams are then None, too.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)

    number: int
    name: str
    fingerprint: str
    status: Annotated[ClipStatus, Field(validation_alias=AliasChoices("status", "standing"))]
    duration_seconds: int | None = None
    billed_seconds: int = 0
    attempt: int | None = None
    generation_id: str | None = None
    asked_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    cause: str | None = None
    code: str | None = None
    expires_at: datetime | None = None
    clip: Clip | None = None
    inspection: VideoInspection | None = None
    seams: Seams | None = None

    @classmethod
    def of(
        cls,
        clip: PlannedClip,
        status: ClipStatus,
        *,
        attempt: Attempt | None = None,
        archived: Clip | None = None,
        error: BaseException | None = None,
        note: str | None = None,
        billed_seconds: int = 0,
    ) -> Self:
        """Return the entry of a clip."""
        outcome = attempt.outcome if attempt else None
        cause = type(error).__name__ if error else None
        return cls(
            number=clip.number,
            name=clip.name,
            fingerprint=clip.fingerprint,
            status=status,
            duration_seconds=clip.settings.duration,
            billed_seconds=billed_seconds,
            attempt=attempt.intent.number if attempt else archived and archived.attempt,
            generation_id=attempt.generation_id if attempt else archived and archived.generation_id,
            asked_at=attempt.intent.asked_at if attempt else None,
            ended_at=outcome.ended_at if outcome else None,
            reason="; ".join(filter(None, (str(error) if error else "", note))) or None,
            cause=cause,
            code=(outcome and outcome.code) or cause,
            expires_at=attempt.expires_at if attempt else None,
            clip=archived,
        )

    def at(self, clip: PlannedClip) -> Self:
        """Return this entry for a repetition of the clip, which is billed only where it occurs first."""
        if clip.number == self.number:
            return self
        return self.model_copy(update={"number": clip.number, "name": clip.name, "billed_seconds": 0})


class Manifest(BaseModel):
    """The status of all clips of a production after one run.

    Attributes:
        schema_version: Raised whenever an older reader would misread this version.
        model: Ids of the models of its clips.
        archive: URL of the store; clips' keys are below it.
        flow_run: The flow run that made it; None outside of one.
        film: The joined clips; None if no film was wanted or it could not be made.
        former: Clips that the production paid for and that are no longer in its storyboard.
        clips_folder: Key of the folder where clips have names for people; None if there is none.
        report: Key of the report page; None if it was not wanted or could not be written.
        price_per_second: Of video, in the account's currency; None if it was not given.
        cost: Of this run; None if a price is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    production: str
    title: str
    model: str
    archive: str
    began_at: datetime
    ended_at: datetime
    flow_run: FlowRunRef | None = None
    clips: tuple[Entry, ...]
    former: tuple[PaidClip, ...] = ()
    clips_folder: str | None = None
    film: Film | None = None
    film_reason: str | None = None
    report: str | None = None
    report_reason: str | None = None
    announcements: tuple[Announcement, ...] = ()
    price_per_second: Decimal | None = None
    cost: Decimal | None = None

    @property
    def label(self) -> str:
        """The title as one line, for names of runs and events."""
        return one_line(self.title)

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that this run submitted."""
        return sum(entry.billed_seconds for entry in self.clips)

    @property
    def left_behind(self) -> tuple[PaidClip, ...]:
        """Former clips that the API may finish or has finished, and that are not archived."""
        ended = {ClipStatus.failed, ClipStatus.not_submitted, ClipStatus.lost}
        return tuple(clip for clip in self.former if not clip.key and clip.status not in ended)

    @property
    def counts(self) -> Mapping[ClipStatus, int]:
        """Clips per status, omitting zeros."""
        return tally((entry.status for entry in self.clips), ClipStatus)

    @property
    def is_complete(self) -> bool:
        """Whether every clip is archived and none failed."""
        return all(entry.clip and entry.status is not ClipStatus.failed for entry in self.clips)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes of the film, in order."""
        return tuple(
            Scene(
                number=entry.number,
                name=entry.name,
                fingerprint=entry.fingerprint,
                seconds=entry.duration_seconds or _SLATE_SECONDS,
                clip=entry.clip,
                reason=None if entry.clip else entry.reason,
            )
            for entry in self.clips
        )

    @property
    def verdict(self) -> Verdict:
        """The most urgent thing left to do: resolve, then archive paid clips, then wait, then repair."""
        counts, fine = self.counts, {ClipStatus.made, ClipStatus.reused}
        causes = {entry.cause for entry in self.clips if entry.status not in fine}
        spent, unreached = self.billed_seconds or counts.get(ClipStatus.made), ConnectionFailedError.__name__
        is_stuck = counts.get(ClipStatus.not_archived) or any(clip.is_stuck for clip in self.former)
        applies = {
            Verdict.unresolved: counts.get(ClipStatus.unresolved),
            Verdict.failed: is_stuck,
            Verdict.complete: self.is_complete,
            Verdict.in_flight: counts.get(ClipStatus.in_flight)
            or (causes & {DeadlineError.__name__, unreached} and (spent or unreached not in causes)),
            Verdict.setup: not spent and (unreached in causes or causes <= _OF_SETUP),
        }
        return next((verdict for verdict, does in applies.items() if does), Verdict.failed)

    def raise_for_status(self, *, in_flight: bool = False) -> Self:
        """Return the manifest if every clip is archived.

        Args:
            in_flight: Whether generations may still be in flight, as after a run that does not wait.

        Raises:
            IncompleteError: If clips are missing, or a paid clip is not archived. Each has its reason.
        """
        if self.verdict is Verdict.complete or (in_flight and self.verdict is Verdict.in_flight):
            return self
        raise IncompleteError(f"{one_line(self.summary())}\n{reasons((*self.clips, *self.former))}".rstrip())

    def summary(self) -> str:
        """Summarize the production in one line."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{self.title}: {counts}; {self.billed_seconds} s billed"


async def read_manifest(store: Store, name: str) -> Manifest:
    """Read the manifest of a production, by default of the only one.

    Args:
        store: The archive.
        name: The production's name or title; empty if the archive has only one.

    Raises:
        SetupError: If there is none, or several match.
    """
    keys = await store.keys("productions/")
    known = [key.split("/")[1] for key in keys if key.endswith("/manifest.json")]
    wanted = key_name(name) if name else "".join(known[:1])
    if wanted not in known or (not name and len(known) > 1):
        remedy = f"name one of: {', '.join(known)}" if known else "produce one first"
        found = f"no production {name!r}" if name else f"{len(known)} productions"
        raise SetupError(f"The archive {store.name} has {found}; {remedy}")
    key = production_key(wanted, "manifest.json")
    content = await store.read(key)
    try:
        remedy = "run produce again to rewrite it"
        return parse_record(Manifest, content or b"", link=store.link(key), remedy=remedy)
    except UnreadableRecordError as error:
        raise SetupError(str(error)) from None


async def find_manifest(store: Store, production: str) -> Manifest | None:
    """Return the manifest of a production's last run; None if there is none, or if it cannot be read."""
    try:
        content = await store.read(production_key(production, "manifest.json"))
        return Manifest.model_validate_json(content) if content else None
    except (ArchiveError, ValidationError):  # it only saves work
        return None


async def record(manifest: Manifest, store: Store) -> None:
    """Store the manifest, replacing an older one."""
    key = production_key(manifest.production, "manifest.json")
    await store.put(key, manifest.model_dump_json(indent=2).encode())


def production_key(production: str, file: str) -> str:
    """Return the key of a file of a production."""
    return f"productions/{production}/{file}"
