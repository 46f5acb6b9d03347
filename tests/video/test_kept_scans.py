"""Keeping scans until they are needed."""

from prefect_seedance.video.findings import Scan
from prefect_seedance.video.kept_scans import KeptScans

SCAN = Scan(b"", b"", b"", ends=(), black=(), frozen=(), silent=(), has_sound=False)


def test_scan_is_taken_once() -> None:
    """A scan is there until it is taken."""
    scans = KeptScans()
    scans.put("clip", SCAN)

    assert [scans.take("clip"), scans.take("clip")] == [SCAN, None]


def test_few_scans_are_kept() -> None:
    """The oldest scans are dropped, so that memory does not grow with the number of clips."""
    scans = KeptScans()
    for number in range(100):
        scans.put(f"clip {number}", SCAN)

    kept = [scans.take(f"clip {number}") is not None for number in range(100)]

    assert kept == [False] * 68 + [True] * 32
