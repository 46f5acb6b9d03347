"""What looking at clips adds to an account, and whom a demand fails."""

from datetime import UTC, datetime

import pytest

from prefect_seedance.film.seams import ClipInspection, Similarity, VideoInspection
from prefect_seedance.report.manifest import Entry, ExitCode, Manifest, Standing
from prefect_seedance.report.seam_check import reviewed
from prefect_seedance.storage.store import Store
from tests import films

_NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _manifest(clips: int) -> Manifest:
    entries = [
        Entry(number=number, name=f"shot {number}", fingerprint=f"{number}", standing=Standing.reused)
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


def _look(*, start: float | None = None, end: float | None = None) -> ClipInspection:
    inspection = VideoInspection(
        sha256="0", has_sound=True, start_still="s", middle_still="m", end_still="e", inspected_at=_NOW
    )
    return ClipInspection(inspection=inspection, start=_like(start), end=_like(end))


def _like(ssim: float | None) -> Similarity | None:
    return None if ssim is None else Similarity(ssim=ssim)


def _failed(manifest: Manifest) -> list[int]:
    return [entry.number for entry in manifest.clips if entry.standing is Standing.failed]


def test_findings_decide_nothing() -> None:
    """Without a demand, the account tells the worst seams and nothing else changes."""
    looks = {"1": _look(start=0.1, end=0.2)}

    manifest = reviewed(_manifest(2), looks, {1: Similarity(ssim=0.3)})

    first, second = manifest.clips
    assert first.inspection == looks["1"].inspection
    assert first.seams is not None
    assert [each and each.ssim for each in (first.seams.start, first.seams.end, first.seams.next)] == [
        0.1,
        0.2,
        0.3,
    ]
    assert (second.inspection, second.seams) == (None, None)
    assert _failed(manifest) == []


@pytest.mark.parametrize(
    ("ends", "nexts", "failed"),
    [
        pytest.param([(0.95, 0.95), (0.95, 0.95)], 0.95, [], id="good"),
        pytest.param([(0.85, 0.95), (0.95, 0.95)], 0.95, [1], id="start"),
        pytest.param([(0.95, 0.85), (0.95, 0.95)], 0.95, [1], id="end"),
        pytest.param([(0.95, 0.92), (0.94, 0.95)], 0.85, [1], id="cut-by-the-first"),
        pytest.param([(0.95, 0.94), (0.92, 0.95)], 0.85, [2], id="cut-by-the-second"),
        pytest.param([(None, None), (None, None)], 0.85, [2], id="cut-by-nobody-knows"),
        pytest.param([(None, None), (None, None)], None, [], id="not-compared"),
    ],
)
def test_demand_fails_whoever_falls_short(
    ends: list[tuple[float | None, float | None]], nexts: float | None, failed: list[int]
) -> None:
    """A clip answers for its own ends, and for a cut if it is the one less like its image."""
    looks = {f"{number}": _look(start=start, end=end) for number, (start, end) in enumerate(ends, 1)}

    manifest = reviewed(_manifest(2), looks, {1: Similarity(ssim=nexts)}, min_seam=0.9)

    assert _failed(manifest) == failed


async def test_failed_clip_stays_and_costs_nothing() -> None:
    """A clip that falls short is there, is not bought again, and is told how to be."""
    clip = await films.archived(Store.open("memory://review"), films.clip(1))
    whole = _manifest(1)
    whole = whole.model_copy(update={"clips": (whole.clips[0].model_copy(update={"clip": clip}),)})

    manifest = reviewed(whole, {"1": _look(start=0.71)}, {}, min_seam=0.9)

    entry = manifest.clips[0]
    assert whole.is_complete
    assert not manifest.is_complete
    assert manifest.exit_code == ExitCode.failed
    assert (entry.clip, entry.billed_seconds, entry.cause) == (clip, 0, "SeamError")
    assert entry.reason == (
        "shot 1 is too little like its image, at its start, by 0.71. It is archived, and stays in the film; "
        "raise its 'take' in the storyboard to buy another version"
    )
    assert manifest.scenes[0].clip == clip
