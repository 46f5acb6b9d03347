"""Inspections in the manifest, and clips that miss the required similarity."""

from datetime import UTC, datetime

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.film.inspections import ClipInspection, Similarity, VideoInspection
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.seam_check import check_seams
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store
from tests import films

_NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _manifest(clips: int) -> Manifest:
    entries = [
        Entry(number=number, name=f"shot {number}", fingerprint=f"{number}", status=ClipStatus.reused)
        for number in range(1, clips + 1)
    ]
    return Manifest(
        production="sea",
        title="Sea",
        model="m",
        archive="memory://",
        began_at=_NOW,
        ended_at=_NOW,
        clips=tuple(entries),
    )


def _inspection(*, start: float | None = None, end: float | None = None) -> ClipInspection:
    inspection = VideoInspection(
        sha256="0", has_sound=True, start_still="s", middle_still="m", end_still="e", inspected_at=_NOW
    )
    return ClipInspection(inspection=inspection, start=_similarity(start), end=_similarity(end))


def _similarity(ssim: float | None) -> Similarity | None:
    return None if ssim is None else Similarity(ssim=ssim)


def _failed(manifest: Manifest) -> list[int]:
    return [entry.number for entry in manifest.clips if entry.status is ClipStatus.failed]


def test_findings_fail_no_clip() -> None:
    """Without a required similarity, the manifest shows the worst seams and nothing else changes."""
    inspections = {"1": _inspection(start=0.1, end=0.2)}

    manifest = check_seams(_manifest(2), inspections, {1: Similarity(ssim=0.3)})

    first, second = manifest.clips
    assert first.inspection == inspections["1"].inspection
    assert first.seams is not None
    assert [each and each.ssim for each in (first.seams.start, first.seams.end, first.seams.next)] == [
        0.1,
        0.2,
        0.3,
    ]
    assert (second.inspection, second.seams) == (None, None)
    assert _failed(manifest) == []


@pytest.mark.parametrize(
    ("ends", "following", "failed"),
    [
        pytest.param([(0.95, 0.95), (0.95, 0.95)], 0.95, [], id="good"),
        pytest.param([(0.85, 0.95), (0.95, 0.95)], 0.95, [1], id="start"),
        pytest.param([(0.95, 0.85), (0.95, 0.95)], 0.95, [1], id="end"),
        pytest.param([(0.95, 0.92), (0.94, 0.95)], 0.85, [1], id="cut-by-the-first"),
        pytest.param([(0.95, 0.94), (0.92, 0.95)], 0.85, [2], id="cut-by-the-second"),
        pytest.param([(None, None), (None, None)], 0.85, [2], id="cut-unknown"),
        pytest.param([(None, None), (None, None)], None, [2], id="not-compared"),
    ],
)
def test_low_similarity_fails_clip(
    ends: list[tuple[float | None, float | None]], following: float | None, failed: list[int]
) -> None:
    """A clip fails for its own ends, and for a cut if it is less similar to its image than its neighbour."""
    inspections = {
        f"{number}": _inspection(start=start, end=end) for number, (start, end) in enumerate(ends, 1)
    }

    manifest = check_seams(_manifest(2), inspections, {1: Similarity(ssim=following)}, min_similarity=0.9)

    assert _failed(manifest) == failed


async def test_unknown_similarity_fails_clip() -> None:
    """A required similarity has to be shown: a clip that was not inspected in time does not pass."""
    clip = await films.archived(Store.open("memory://unknown"), films.clip(1))
    whole = _manifest(2)
    entries = [entry.model_copy(update={"clip": clip}) for entry in whole.clips]
    whole = whole.model_copy(update={"clips": tuple(entries)})
    inspection = _inspection(start=0.95)
    inspection = inspection.model_copy(update={"start": Similarity(reason="the image sea is missing")})

    lenient = check_seams(whole, {"1": inspection}, {})
    strict = check_seams(whole, {"1": inspection}, {}, min_similarity=0.9)

    assert _failed(lenient) == []
    first, second = strict.clips
    assert first.reason == (
        "shot 1 could not be compared with its start image (the image sea is missing). "
        "The clip is archived and stays in the film; run again to compare it"
    )
    assert second.reason == (
        "shot 2 could not be inspected. The clip is archived and stays in the film; run again to inspect it"
    )


async def test_failed_clip_stays_and_costs_nothing() -> None:
    """A clip with too low a similarity stays archived, costs nothing, and its reason has the remedy."""
    clip = await films.archived(Store.open("memory://review"), films.clip(1))
    whole = _manifest(1)
    whole = whole.model_copy(update={"clips": (whole.clips[0].model_copy(update={"clip": clip}),)})

    manifest = check_seams(whole, {"1": _inspection(start=0.71)}, {}, min_similarity=0.9)

    entry = manifest.clips[0]
    assert whole.is_complete
    assert not manifest.is_complete
    assert manifest.verdict is Verdict.failed
    assert (entry.clip, entry.billed_seconds, entry.cause) == (clip, 0, "SeamError")
    assert entry.reason == (
        "The similarity of shot 1 is too low: 0.71 to its start image. "
        "The clip is archived and stays in the film; "
        "raise its 'take' in the storyboard to buy another version"
    )
    assert manifest.scenes[0].clip == clip
