"""The account of a rescue of several archives."""

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.rescued import RescuedArchive, left_in, summary, verdict_on_all
from prefect_seedance.report.verdict import Verdict


def clip(status: ClipStatus, reason: str | None = None) -> PaidClip:
    """Return a clip with this status."""
    return PaidClip(
        fingerprint="f" * 32,
        name="bell",
        production="sounds",
        status=status,
        billed_seconds=4,
        key="clips/f/clip.mp4" if status is ClipStatus.made else None,
        reason=reason,
    )


FINE = RescuedArchive(archive="/fine", clips=(clip(ClipStatus.made),))
LEFT = RescuedArchive(archive="/left", clips=(clip(ClipStatus.not_archived, "no space"),))
WAITS = RescuedArchive(archive="/waits", clips=(clip(ClipStatus.in_flight, "bell continues"),))
DOUBT = RescuedArchive(archive="/doubt", clips=(clip(ClipStatus.unresolved, "bell: who knows"),))
WRONG = RescuedArchive(archive="/wrong", problem="There is no archive at /wrong", cause="SetupError")
DOWN = RescuedArchive(archive="s3://down", problem="no answer", cause="ArchiveError")


@pytest.mark.parametrize(
    ("archives", "verdict"),
    [
        ([], Verdict.complete),
        ([FINE, FINE], Verdict.complete),
        ([FINE, WAITS], Verdict.in_flight),
        ([WAITS, WRONG], Verdict.setup),
        ([WRONG, DOWN], Verdict.failed),
        ([WRONG, LEFT], Verdict.failed),
        ([DOWN, DOUBT], Verdict.unresolved),
    ],
    ids=["none", "all", "waits", "wrong", "down", "left", "doubt"],
)
def test_worst_archive_decides(archives: list[RescuedArchive], verdict: Verdict) -> None:
    """The verdict is that of the archive with the most urgent step; one that was not read is not fine."""
    assert verdict_on_all(archives) is verdict


def test_each_line_names_its_archive() -> None:
    """Of several archives, each reason names archive and clip; of one, it names the clip."""
    several = [(left.name, left.reason) for left in left_in([FINE, LEFT, DOUBT, WRONG])]

    assert several == [
        ("/left", "bell: no space"),
        ("/doubt", "bell: who knows"),
        ("/wrong", "There is no archive at /wrong"),
    ]
    assert [(left.name, left.reason) for left in left_in([LEFT])] == [("bell", "no space")]


@pytest.mark.parametrize(
    ("archives", "line"),
    [
        ([FINE], "1 rescued, 0 left"),
        ([FINE, LEFT, DOWN], "3 archives: 1 rescued, 1 left, 1 not read"),
    ],
    ids=["one", "several"],
)
def test_summary_counts_archives(archives: list[RescuedArchive], line: str) -> None:
    """The summary counts clips and, if there are several, archives."""
    assert summary(archives) == line
