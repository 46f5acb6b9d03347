"""Report each step of a clip to the caller."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.printable import get_logger
from prefect_seedance.storyboard.plan import PlannedClip

_log = get_logger(__name__)


_EARLIER: Mapping[ClipStatus, str] = {
    ClipStatus.submitting: "submitted by another run",
    ClipStatus.in_flight: "in flight, resumed",
    ClipStatus.archiving: "archiving, resumed",
    ClipStatus.failed: "failed earlier",
    ClipStatus.unresolved: "unresolved earlier",
}
"""What progress says of a status that the run found, by the status."""

_BEFORE: Mapping[ClipStatus, ClipStatus] = {ClipStatus.archiving: ClipStatus.not_archived}
"""The status that the ledger shows before the run continues; by default the same."""


class Progress(NamedTuple):
    """The status of one clip.

    Attributes:
        detail: The state in the API's own word, while the clip is in flight; or what distinguishes the clip
            from others with this status, such as ``in flight, resumed``.
        is_final: Whether the run has finished with the clip.
        seconds_left: In how many seconds its generation probably ends, if that is known; negative if it
            takes longer than usual.
    """

    clip: PlannedClip
    status: ClipStatus
    detail: str = ""
    is_final: bool = False
    seconds_left: float | None = None


OnProgress = Callable[[Progress], None]
"""Called for every step of a clip; an exception in it is logged and harms nothing."""


def earlier_words(status: ClipStatus, *, found: ClipStatus | None) -> str:
    """Return what progress says of a status if an earlier run left the clip in it; else an empty string.

    Args:
        status: The clip's status.
        found: The status that the ledger showed before this run.
    """
    return _EARLIER.get(status, "") if found is _BEFORE.get(status, status) else ""


def ignore(_: Progress) -> None:
    """Report nothing."""


def notify(on_progress: OnProgress, progress: Progress) -> None:
    """Call back, so that a faulty callback cannot harm clips that are paid for."""
    try:
        on_progress(progress)
    except Exception:  # noqa: BLE001 -- foreign code
        _log.exception(
            "on_progress failed for %s (%s); the run continues", progress.clip.name, progress.status
        )
