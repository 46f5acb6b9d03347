"""The verdict on a run: what it leaves to do."""

from enum import StrEnum


class Verdict(StrEnum):
    """The most urgent thing that a production leaves to do."""

    complete = "complete"
    """Nothing: every clip is archived."""
    unresolved = "unresolved"
    """Resolve a submission."""
    in_flight = "in flight"
    """Run it again, once generations have ended."""
    setup = "setup"
    """Correct the set-up; nothing was spent."""
    failed = "failed"
    """Archive a clip that is paid, correct a clip, or pay for it again."""
