"""Find processes that outlive the run that started them."""

import contextlib
import time
from pathlib import Path

from benchmarks.campaign.production import ViolationError

TAG = "SEEDANCE_CAMPAIGN"
"""Inherited by every process that a run starts, so that all of them can be found."""


def require_no_orphans(tag: str, *, within_seconds: float) -> None:
    """Wait until no process has the tag of a worker's runs.

    A forked run has not, but the stage waits for it; the programs that it starts have.

    Raises:
        ViolationError: One still has it after this time.
    """
    latest = time.monotonic() + within_seconds
    while left := _tagged(tag):
        if time.monotonic() > latest:
            raise ViolationError(f"processes outlive their run: {left}")
        time.sleep(0.1)


def _tagged(tag: str) -> list[int]:
    mark, found = f"{TAG}={tag}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found
