"""Attempts and archived clips of a storyboard, as a ledger records them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipSettings, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result
from prefect_seedance.errors import FailKind, InvalidRequestError
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.video.facts import VideoFacts

NOW = datetime.now(UTC)

REFUSED = Outcome.of_refusal(InvalidRequestError("too long"), kind=FailKind.input)
FAILED = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.transient, code="PROCESSING_TIMEOUT")
REJECTED = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.content, code="NSFW")
SUCCEEDED = Outcome(result=Result.success, ended_at=NOW, result_urls=("https://results.example/1.mp4",))
LOST = Outcome.of_loss(resolved_by="author on host process 7")

FACTS = VideoFacts(
    container="mp4",
    width=864,
    height=496,
    duration_seconds=4.0,
    frame_rate=24.0,
    frames=96,
    video_codec="h264",
)


def planned_clip(number: int = 1) -> PlannedClip:
    """Return a clip from text, as planned."""
    return PlannedClip(
        name=f"clip {number}",
        prompt="waves",
        images=(),
        settings=ClipSettings(),
        number=number,
        fingerprint=f"{number:032}",
    )


def request_of(clip: PlannedClip) -> GenerateRequest:
    """Return the request for a clip, with hosted images."""
    return GenerateRequest(
        input=clip.input(f"https://images.example/{number}.png" for number, _ in enumerate(clip.images))
    )


def intent_of(clip: PlannedClip, *, settles_in: timedelta = timedelta(hours=-1)) -> Intent:
    """Return the intent of a first attempt, submitted three hours ago."""
    return Intent(
        fingerprint=clip.fingerprint,
        number=1,
        name=clip.name,
        production="test-board",
        model=DEFAULT_MODEL,
        base_url="https://api.example",
        request=request_of(clip),
        asked_by="host process 7",
        asked_at=NOW - timedelta(hours=3),
        settles_by=NOW + settles_in,
    )


async def record_submitting(store: Store, clip: PlannedClip) -> Attempt:
    """Record a submission whose run may still record the answer."""
    return await _claim(store, intent_of(clip, settles_in=timedelta(hours=1)))


async def record_unresolved(store: Store, clip: PlannedClip) -> Attempt:
    """Record a submission whose run can no longer record the answer."""
    return await _claim(store, intent_of(clip))


async def record_unreadable(store: Store, clip: PlannedClip) -> None:
    """Record a submission, and damage the record."""
    attempt = await record_unresolved(store, clip)
    await store.put(f"{attempt.key}intent.json", b"{")


async def record_in_flight(store: Store, clip: PlannedClip) -> Attempt:
    """Record an accepted submission."""
    return await Ledger(store).accept(await record_unresolved(store, clip), f"task_{clip.number}")


async def record_outcome(store: Store, clip: PlannedClip, outcome: Outcome) -> Attempt:
    """Record an attempt with its outcome, accepted unless it was refused or lost."""
    was_accepted = outcome.result in {Result.success, Result.failed}
    attempt = await (record_in_flight if was_accepted else record_unresolved)(store, clip)
    return await Ledger(store).conclude(attempt, outcome)


async def record_success(store: Store, clip: Clip, *, production: str = "test-board") -> Attempt:
    """Record the attempt that made an archived clip."""
    intent = Intent(
        fingerprint=clip.fingerprint,
        number=clip.attempt,
        name=clip.name,
        production=production,
        model=clip.model,
        base_url=clip.base_url,
        request=clip.request,
        asked_by="host process 7",
        asked_at=NOW - timedelta(minutes=2),
        settles_by=NOW - timedelta(minutes=1),
    )
    attempt = await Ledger(store).accept(await _claim(store, intent), clip.generation_id)
    return await Ledger(store).conclude(attempt, SUCCEEDED)


async def record_archived(store: Store, clip: PlannedClip) -> Clip:
    """Record an archived clip."""
    archived = archived_clip(clip)
    await store.create(f"clips/{clip.fingerprint}/clip.json", archived.model_dump_json().encode())
    return archived


def archived_clip(clip: PlannedClip, *, findings: tuple[str, ...] = ()) -> Clip:
    """Return the record of an archived clip."""
    return Clip(
        fingerprint=clip.fingerprint,
        name=clip.name,
        key=f"clips/{clip.fingerprint}/clip.mp4",
        sha256="0" * 64,
        size_bytes=1,
        facts=FACTS,
        findings=findings,
        attempt=1,
        generation_id="task_1",
        model=DEFAULT_MODEL,
        base_url="https://api.example",
        request=request_of(clip),
        archived_at=NOW,
    )


def manifest_of(*entries: Entry) -> Manifest:
    """Return the manifest of a production with these entries."""
    return Manifest(
        production="test-board",
        title="Test board",
        model=DEFAULT_MODEL,
        archive="/films",
        began_at=NOW,
        ended_at=NOW,
        clips=entries,
    )


async def _claim(store: Store, intent: Intent) -> Attempt:
    attempt = await Ledger(store).claim(intent)
    assert attempt
    return attempt


def age_acceptances(archive: Path, *, by: timedelta = timedelta(hours=1)) -> None:
    """Date the acceptances in an archive back, so that a run polls their generations at once."""
    for path in archive.glob("clips/*/*/accepted.json"):
        acceptance = json.loads(path.read_text(encoding="utf-8"))
        accepted_at = datetime.fromisoformat(acceptance["accepted_at"]) - by
        changed = {**acceptance, "accepted_at": accepted_at.isoformat()}
        path.write_text(json.dumps(changed), encoding="utf-8")
