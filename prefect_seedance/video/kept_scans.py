"""Keep scans in memory from the verification of a video to its inspection."""

from typing import Final

from prefect_seedance.video.findings import Scan

_MAX_KEPT: Final = 32
"""Each takes 0.1 MB, or 1 MB with images to compare. A scan that is dropped is made again."""


class KeptScans:
    """The latest scans of the videos that are archived, by key.

    Attributes:
        are_wanted: Whether videos are scanned while they are verified, because they are inspected next.
    """

    def __init__(self) -> None:
        self.are_wanted = False
        self._scans: dict[str, Scan] = {}

    def put(self, key: str, scan: Scan) -> None:
        """Keep the scan of an archived video, and drop the oldest one if there are too many."""
        self._scans[key] = scan
        if len(self._scans) > _MAX_KEPT:
            del self._scans[next(iter(self._scans))]

    def take(self, key: str) -> Scan | None:
        """Return a scan, and keep it no longer; None if there is none."""
        return self._scans.pop(key, None)
