"""What a rescue did about one archive."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import SetupError
from prefect_seedance.report.paid_clip import PaidClip, verdict_on
from prefect_seedance.report.verdict import Verdict

_URGENCY = (Verdict.unresolved, Verdict.failed, Verdict.setup, Verdict.in_flight, Verdict.complete)
"""The verdicts, the most urgent first: an archive that was not read may have clips that expire."""


class RescuedArchive(BaseModel):
    """The account of one archive.

    Attributes:
        archive: As the caller named it.
        clips: That were paid for and not archived, those first whose links expire first.
        problem: Why the archive could not be read; None if it could.
        cause: Name of the error class behind the problem.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    archive: str
    clips: tuple[PaidClip, ...] = ()
    problem: str | None = None
    cause: str | None = None

    @property
    def left(self) -> Sequence[PaidClip]:
        """The clips that are not archived."""
        return [clip for clip in self.clips if not clip.key]

    @property
    def verdict(self) -> Verdict:
        """The most urgent thing left to do."""
        if self.problem is None:
            return verdict_on(self.clips)
        return Verdict.setup if self.cause == SetupError.__name__ else Verdict.failed


def verdict_on_all(archives: Sequence[RescuedArchive]) -> Verdict:
    """Return the most urgent thing that a rescue of several archives leaves to do."""
    return min((archive.verdict for archive in archives), key=_URGENCY.index, default=Verdict.complete)


class Left(NamedTuple):
    """A line about what a rescue left to do.

    Attributes:
        name: Of the clip or, if there are several archives, of its archive.
        status: Of the clip; failed if it is about the whole archive.
    """

    name: str
    reason: str
    status: ClipStatus = ClipStatus.failed


def left_in(archives: Sequence[RescuedArchive]) -> Iterator[Left]:
    """Yield why archives were not read, and why clips are not archived."""
    for archive in archives:
        if archive.problem is not None:
            yield Left(archive.archive, archive.problem)
        for clip in archive.left:
            if clip.reason and len(archives) == 1:
                yield Left(clip.name, clip.reason, clip.status)
            elif clip.reason:
                named = clip.reason if clip.name in clip.reason else f"{clip.name}: {clip.reason}"
                yield Left(archive.archive, named, clip.status)


def summary(archives: Sequence[RescuedArchive]) -> str:
    """Summarize a rescue in one line."""
    left = sum(len(each.left) for each in archives)
    rescued = sum(len(each.clips) for each in archives) - left
    unread = sum(each.problem is not None for each in archives)
    counts = f"{rescued:,} rescued, {left:,} left"
    if len(archives) == 1:
        return counts
    return f"{len(archives):,} archives: {counts}" + (f", {unread:,} not read" if unread else "")
