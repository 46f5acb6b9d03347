"""The account of a production: what became of every clip, and what was billed."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.ledger import Attempt, Result
from prefect_seedance.errors import (
    ContentRejectedError,
    LinkExpiredError,
    SetupError,
    SubmissionUnresolvedError,
)
from prefect_seedance.film.assembly import Scene
from prefect_seedance.film.join import Film
from prefect_seedance.film.seams import Seams, VideoInspection
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip, key_name

_SLATE_SECONDS = 4
"""Where it is not known how long a missing clip was to be; the shortest there is."""


class Standing(StrEnum):
    """What became of a clip in one run."""

    made = "made"
    reused = "reused"
    """It was in the archive already."""
    failed = "failed"
    unresolved = "unresolved"
    """It was submitted, and nobody knows whether it was accepted."""
    in_flight = "in flight"
    """It was submitted, and is not archived yet."""
    not_submitted = "not submitted"


def standing_of(last: Attempt | None, error: BaseException) -> Standing:
    """Judge a clip without a video by its last attempt, and only where that leaves it open by the error."""
    if last is None:
        return Standing.not_submitted
    if last.undecided or isinstance(error, SubmissionUnresolvedError):
        return Standing.unresolved
    if last.outcome is None:
        return Standing.in_flight
    if last.outcome.result is Result.success:
        has_expired = last.outcome.expires_at is None or datetime.now(UTC) >= last.outcome.expires_at
        is_gone = has_expired and isinstance(error, LinkExpiredError)
        return Standing.failed if is_gone else Standing.in_flight
    if last.outcome.result is Result.failed or isinstance(error, ContentRejectedError):
        return Standing.failed
    return Standing.not_submitted


class ExitCode:
    """What the command line's exit code says."""

    complete = 0
    failed = 1
    setup = 2
    unresolved = 3
    in_flight = 4


class Entry(BaseModel):
    """What became of one clip.

    Attributes:
        standing: A clip that falls short of what was demanded of it has failed, and is there.
        duration_seconds: Of the clip as it was asked for; None in the oldest manifests.
        billed_seconds: Of video, submitted by this run; whether a failed generation is billed, the
            API does not say, so it counts.
        reason: Why there is no video, and what to do about it; or what else should be known.
        cause: The kind of error behind the reason.
        inspection: What looking at the video has found; None if nobody has looked.
        seams: How well the video meets its images and the next clip; None if nobody has looked.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    name: str
    fingerprint: str
    standing: Standing
    duration_seconds: int | None = None
    billed_seconds: int = 0
    attempt: int | None = None
    generation_id: str | None = None
    asked_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    cause: str | None = None
    clip: Clip | None = None
    inspection: VideoInspection | None = None
    seams: Seams | None = None

    @classmethod
    def of(
        cls,
        clip: PlannedClip,
        standing: Standing,
        *,
        attempt: Attempt | None = None,
        archived: Clip | None = None,
        error: BaseException | None = None,
        note: str | None = None,
        billed_seconds: int = 0,
    ) -> Self:
        """Put together what is known of a clip."""
        outcome = attempt.outcome if attempt else None
        return cls(
            number=clip.number,
            name=clip.name,
            fingerprint=clip.fingerprint,
            standing=standing,
            duration_seconds=clip.settings.duration,
            billed_seconds=billed_seconds,
            attempt=attempt.intent.number if attempt else archived and archived.attempt,
            generation_id=attempt.generation_id if attempt else archived and archived.generation_id,
            asked_at=attempt.intent.asked_at if attempt else None,
            ended_at=outcome.ended_at if outcome else None,
            reason=str(error) if error else note,
            cause=type(error).__name__ if error else None,
            clip=archived,
        )

    def at(self, clip: PlannedClip) -> Self:
        """Return this entry for another place of the same clip, which is billed at the first only."""
        if clip.number == self.number:
            return self
        return self.model_copy(update={"number": clip.number, "name": clip.name, "billed_seconds": 0})


class Manifest(BaseModel):
    """What became of all clips of a production in one run.

    Attributes:
        schema_version: Grows whenever a reader of an older version would misread this one.
        archive: URL of the store; clips' keys are below it.
        clips: In the storyboard's order.
        film: The clips joined; None if no film was wanted, or none could be made.
        film_reason: Why no film could be made.
        report: Key of the page that shows all this; None if none was wanted, or none could be written.
        report_reason: Why none could be written.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    production: str
    title: str
    model: str
    archive: str
    began_at: datetime
    ended_at: datetime
    clips: tuple[Entry, ...]
    film: Film | None = None
    film_reason: str | None = None
    report: str | None = None
    report_reason: str | None = None

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that this run submitted."""
        return sum(entry.billed_seconds for entry in self.clips)

    @property
    def counts(self) -> Mapping[Standing, int]:
        """How many clips stand how, without those that none does."""
        counts = Counter(entry.standing for entry in self.clips)
        return {standing: counts[standing] for standing in Standing if counts[standing]}

    @property
    def is_complete(self) -> bool:
        """Whether every clip is in the archive, and as good as was demanded."""
        return all(entry.clip and entry.standing is not Standing.failed for entry in self.clips)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What a film of the production consists of."""
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
    def exit_code(self) -> int:
        """The most urgent of what is left to do: settle, wait on, mend."""
        if self.is_complete:
            return ExitCode.complete
        if self.counts.get(Standing.unresolved):
            return ExitCode.unresolved
        if self.counts.get(Standing.in_flight) or any(entry.cause == "DeadlineError" for entry in self.clips):
            return ExitCode.in_flight
        spent = self.billed_seconds or self.counts.get(Standing.made)
        fine = {Standing.made, Standing.reused}
        refused = {entry.cause for entry in self.clips if entry.standing not in fine} <= {
            "AuthenticationError",
            "SetupError",
        }
        return ExitCode.setup if refused and not spent else ExitCode.failed

    def summary(self) -> str:
        """Say it in one line."""
        counts = ", ".join(f"{count} {standing}" for standing, count in self.counts.items())
        return f"{self.title}: {counts}; {self.billed_seconds} s billed"


async def recorded(store: Store, name: str) -> Manifest:
    """Read the account of a production, or of the only one there is.

    Args:
        store: The archive.
        name: The production's name or title; empty if there is one only.

    Raises:
        SetupError: If there is none, or several.
    """
    keys = await store.keys("productions/")
    known = [key.split("/")[1] for key in keys if key.endswith("/manifest.json")]
    wanted = key_name(name) if name else "".join(known[:1])
    if wanted not in known or (not name and len(known) > 1):
        remedy = f"name one of: {', '.join(known)}" if known else "make one with prefect-seedance produce"
        found = f"no production {name!r}" if name else f"{len(known)} productions"
        raise SetupError(f"The archive {store.name} has {found}; {remedy}")
    content = await store.read(production_key(wanted, "manifest.json"))
    try:
        return Manifest.model_validate_json(content or b"")
    except ValidationError:
        raise SetupError(
            f"The manifest of {wanted!r} in {store.name} is damaged; produce it again to write it anew"
        ) from None


async def record(manifest: Manifest, store: Store) -> None:
    """Leave the account in the archive, over an older one."""
    key = production_key(manifest.production, "manifest.json")
    await store.put(key, manifest.model_dump_json(indent=2).encode())


def production_key(production: str, file: str) -> str:
    """Return where a file of a production lies in the archive."""
    return f"productions/{production}/{file}"
