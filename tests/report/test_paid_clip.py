from collections.abc import Sequence

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.paid_clip import PaidClip, verdict_on
from prefect_seedance.report.verdict import Verdict


def paid(status: ClipStatus, *, key: str | None = None) -> PaidClip:
    return PaidClip(
        fingerprint="f" * 32, name="bell", production="sounds", status=status, billed_seconds=4, key=key
    )


RESCUED, FAILED = paid(ClipStatus.made, key="clip.mp4"), paid(ClipStatus.failed)


@pytest.mark.parametrize(
    ("clips", "verdict"),
    [
        pytest.param([], Verdict.complete, id="nothing"),
        pytest.param([RESCUED], Verdict.complete, id="rescued"),
        pytest.param([RESCUED, paid(ClipStatus.in_flight)], Verdict.in_flight, id="in flight"),
        pytest.param([RESCUED, paid(ClipStatus.unreadable)], Verdict.failed, id="unreadable"),
        pytest.param([paid(ClipStatus.submitting)], Verdict.in_flight, id="being submitted"),
        pytest.param([paid(ClipStatus.in_flight), paid(ClipStatus.failed)], Verdict.failed, id="failed"),
        pytest.param(
            [paid(ClipStatus.failed), paid(ClipStatus.unresolved)], Verdict.unresolved, id="unresolved"
        ),
    ],
)
def test_verdict_is_most_urgent(clips: Sequence[PaidClip], verdict: Verdict) -> None:
    """The most urgent is an unresolved submission, then a clip that is not archived, then waiting."""
    assert verdict_on(clips) is verdict
