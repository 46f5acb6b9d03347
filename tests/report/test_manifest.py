from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.api.wire import ClipInput, ClipSettings, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Acceptance, Attempt, Intent, Outcome, Result
from prefect_seedance.errors import (
    AuthenticationError,
    ContentRejectedError,
    DeadlineError,
    IncompleteError,
    IntegrityError,
    LinkExpiredError,
    NoAnswerError,
    RateLimitedError,
    SubmissionUnresolvedError,
    TemporaryFileError,
)
from prefect_seedance.report.manifest import Entry, Manifest, status_of
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.video.facts import VideoFacts
from tests.records import archived_clip, manifest_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)
REQUEST = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="drifting clouds"))
INTENT = Intent(
    fingerprint="f" * 32,
    number=1,
    name="clouds",
    production="sky",
    model="seedance-1-5-pro",
    base_url="https://api.apixo.ai",
    request=REQUEST,
    asked_by="somebody",
    asked_at=NOW,
    settles_by=NOW,
)
PLANNED = PlannedClip(
    name="clouds",
    prompt="drifting clouds",
    images=(),
    settings=ClipSettings(),
    number=1,
    fingerprint="f" * 32,
)
CLAIMED = Attempt(intent=INTENT)
ACCEPTED = Attempt(intent=INTENT, acceptance=Acceptance(generation_id="task_1", accepted_at=NOW))


def ended(result: Result, *, expires_at: datetime | None = None) -> Attempt:
    outcome = Outcome(result=result, ended_at=NOW, expires_at=expires_at)
    return ACCEPTED.model_copy(update={"outcome": outcome})


JUDGEMENTS = [
    pytest.param(None, AuthenticationError("no"), ClipStatus.not_submitted, id="never asked"),
    pytest.param(None, DeadlineError("late"), ClipStatus.not_submitted, id="deadline before asking"),
    pytest.param(CLAIMED, SubmissionUnresolvedError("?"), ClipStatus.unresolved, id="answer lost"),
    pytest.param(CLAIMED, DeadlineError("stopped"), ClipStatus.unresolved, id="stopped while asking"),
    pytest.param(ACCEPTED, DeadlineError("late"), ClipStatus.in_flight, id="deadline while it runs"),
    pytest.param(ACCEPTED, AuthenticationError("no"), ClipStatus.in_flight, id="key revoked while it runs"),
    pytest.param(ACCEPTED, RuntimeError("bug"), ClipStatus.in_flight, id="bug while it runs"),
    pytest.param(ended(Result.success), DeadlineError("late"), ClipStatus.not_archived, id="not fetched yet"),
    pytest.param(ended(Result.success), IntegrityError("broken"), ClipStatus.not_archived, id="broken bytes"),
    pytest.param(ended(Result.success), TemporaryFileError("full"), ClipStatus.not_archived, id="full disk"),
    pytest.param(
        ended(Result.success), RuntimeError("bug"), ClipStatus.not_archived, id="bug while archiving"
    ),
    pytest.param(
        ended(Result.success), NoAnswerError("reset"), ClipStatus.not_archived, id="broken transfer"
    ),
    pytest.param(ended(Result.success), LinkExpiredError("gone"), ClipStatus.failed, id="link expired"),
    pytest.param(
        ended(Result.success, expires_at=datetime.now(UTC) + timedelta(days=1)),
        LinkExpiredError("403"),
        ClipStatus.not_archived,
        id="link refused before it expires",
    ),
    pytest.param(ended(Result.failed), RuntimeError(), ClipStatus.failed, id="generation failed"),
    pytest.param(ended(Result.not_started), RateLimitedError("429"), ClipStatus.not_submitted, id="429"),
    pytest.param(
        ended(Result.not_started), ContentRejectedError("403"), ClipStatus.failed, id="rejected at once"
    ),
    pytest.param(ended(Result.lost), DeadlineError("late"), ClipStatus.not_submitted, id="declared lost"),
]


@pytest.mark.parametrize(("last", "error", "status"), JUDGEMENTS)
def test_standing(last: Attempt | None, error: Exception, status: ClipStatus) -> None:
    """A clip without a video stands as its last attempt bears out."""
    assert status_of(last, error) is status


FACTS = VideoFacts(
    container="mp4", width=864, height=496, duration_seconds=4, frame_rate=24, frames=96, video_codec="h264"
)
CLIP = Clip(
    fingerprint="f" * 32,
    name="clouds",
    key="clips/f/clip.mp4",
    sha256="0" * 64,
    size_bytes=1,
    facts=FACTS,
    findings=(),
    attempt=1,
    generation_id="task_1",
    model="seedance-1-5-pro",
    base_url="https://api.apixo.ai",
    request=REQUEST,
    archived_at=NOW,
)


def entry(status: ClipStatus, *, cause: str | None = None, billed_seconds: int = 0) -> Entry:
    archived = CLIP if status in {ClipStatus.made, ClipStatus.reused} else None
    return Entry(
        number=1,
        name="clouds",
        fingerprint="f" * 32,
        status=status,
        cause=cause,
        clip=archived,
        billed_seconds=billed_seconds,
    )


def manifest(*entries: Entry) -> Manifest:
    return Manifest(
        production="sky",
        title="Sky",
        model="seedance-1-5-pro",
        archive="productions",
        began_at=NOW,
        ended_at=NOW,
        clips=entries,
    )


MADE, REUSED, FAILED = (
    entry(ClipStatus.made, billed_seconds=4),
    entry(ClipStatus.reused),
    entry(ClipStatus.failed),
)
UNRESOLVED, IN_FLIGHT = entry(ClipStatus.unresolved), entry(ClipStatus.in_flight)
REFUSED = entry(ClipStatus.not_submitted, cause="AuthenticationError")
NOT_ARCHIVED = entry(ClipStatus.not_archived, cause="DeadlineError", billed_seconds=4)
BLOCKED = entry(ClipStatus.not_submitted, cause="BlockedError")
REDIRECTED = entry(ClipStatus.not_submitted, cause="RedirectedError")
LATE = entry(ClipStatus.not_submitted, cause="DeadlineError")
UNREACHED = entry(ClipStatus.not_submitted, cause="ConnectionFailedError")
POOR = entry(ClipStatus.not_submitted, cause="InsufficientFundsError")

EXITS = [
    pytest.param([MADE, REUSED], Verdict.complete, id="complete"),
    pytest.param([MADE, FAILED], Verdict.failed, id="failed"),
    pytest.param([MADE, FAILED, IN_FLIGHT], Verdict.in_flight, id="in flight before failed"),
    pytest.param([FAILED, IN_FLIGHT, UNRESOLVED], Verdict.unresolved, id="unresolved before all"),
    pytest.param([MADE, NOT_ARCHIVED], Verdict.failed, id="paid and not archived"),
    pytest.param([NOT_ARCHIVED, IN_FLIGHT], Verdict.failed, id="not archived before in flight"),
    pytest.param([NOT_ARCHIVED, UNRESOLVED], Verdict.unresolved, id="unresolved before not archived"),
    pytest.param([REFUSED, REUSED], Verdict.setup, id="key refused, nothing spent"),
    pytest.param([REFUSED, MADE], Verdict.failed, id="key refused, something spent"),
    pytest.param([BLOCKED, REUSED], Verdict.setup, id="firewall, nothing spent"),
    pytest.param([BLOCKED, MADE], Verdict.failed, id="firewall, something spent"),
    pytest.param([REDIRECTED, REFUSED], Verdict.setup, id="redirect"),
    pytest.param([LATE, REUSED], Verdict.in_flight, id="not in time"),
    pytest.param([UNREACHED, REUSED], Verdict.setup, id="API unreachable, nothing spent"),
    pytest.param([UNREACHED, LATE], Verdict.setup, id="API unreachable, others wait for a slot"),
    pytest.param([UNREACHED, MADE], Verdict.in_flight, id="API unreachable later"),
    pytest.param([UNREACHED, IN_FLIGHT], Verdict.in_flight, id="API unreachable, one in flight"),
    pytest.param([POOR], Verdict.failed, id="balance too low"),
]


@pytest.mark.parametrize(("entries", "verdict"), EXITS)
def test_verdict(entries: list[Entry], verdict: Verdict) -> None:
    """The exit code is the most urgent of what is left to do."""
    assert manifest(*entries).verdict is verdict


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [("its link expires at 2026-12-12 10:00 UTC", Verdict.failed), (None, Verdict.complete)],
    ids=["could not be archived", "was not tried"],
)
def test_stuck_former_clip_fails(reason: str | None, verdict: Verdict) -> None:
    """A complete production fails if it could not archive a clip that it paid for before an edit."""
    former = PaidClip(
        fingerprint="e" * 32,
        name="old clouds",
        production="sky",
        status=ClipStatus.not_archived,
        billed_seconds=4,
        reason=reason,
    )

    assert manifest(MADE).model_copy(update={"former": (former,)}).verdict is verdict


def test_summary_counts() -> None:
    """One line says how many clips stand how, and what was billed."""
    assert manifest(MADE, MADE, FAILED).summary() == "Sky: 2 made, 1 failed; 8 s billed"


def test_repeated_clip_is_billed_once() -> None:
    """A clip that stands in two places of a film is billed at the first."""
    again = PLANNED.model_copy(update={"name": "clouds (2)", "number": 2})

    at_second = MADE.at(again)

    assert (at_second.number, at_second.name, at_second.billed_seconds) == (2, "clouds (2)", 0)
    assert at_second.clip == MADE.clip


def test_round_trip() -> None:
    """What is stored can be read back, also by a version that knows fewer fields."""
    told = manifest(MADE, UNRESOLVED)

    assert Manifest.model_validate_json(told.model_dump_json()) == told
    assert Manifest.model_validate({**told.model_dump(), "later": True}) == told


@pytest.mark.parametrize("status", [ClipStatus.failed, ClipStatus.unresolved, ClipStatus.not_submitted])
def test_missing_clip_raises(status: ClipStatus) -> None:
    """A manifest with missing clips raises an error that lists them with their reasons."""
    manifest = manifest_of(Entry.of(PLANNED, status, error=IntegrityError("broken bytes")))

    with pytest.raises(IncompleteError, match=f"^Test board: 1 {status}; 0 s billed\n.*broken bytes$"):
        manifest.raise_for_status(in_flight=True)


def test_complete_manifest_raises_nothing() -> None:
    """A manifest with all clips is returned."""
    manifest = manifest_of(Entry.of(PLANNED, ClipStatus.made, archived=archived_clip(PLANNED)))

    assert manifest.raise_for_status() is manifest


def test_in_flight_is_a_choice() -> None:
    """Generations in flight are missing clips, unless the caller expects them."""
    manifest = manifest_of(Entry.of(PLANNED, ClipStatus.in_flight, error=DeadlineError("late")))

    assert manifest.raise_for_status(in_flight=True) is manifest
    with pytest.raises(IncompleteError, match="1 in flight"):
        manifest.raise_for_status()
