"""The time of day, read in one place, so that a simulation can set it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time of day in UTC; other machines' clocks may differ."""
    return datetime.now(UTC)
