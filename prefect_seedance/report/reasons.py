"""Why clips have no video."""

from collections.abc import Sequence
from typing import Protocol

from prefect_seedance.printable import escape

_SHOWN = 10
"""In a message, which Prefect shows in lists and sends in every notification."""


class HasReason(Protocol):
    """A clip with the reason why it has no video."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str | None: ...  # noqa: D102


def reasons(clips: Sequence[HasReason]) -> str:
    """List the first reasons, one per line."""
    given = [(clip.name, clip.reason) for clip in clips if clip.reason]
    lines = [escape(reason if name in reason else f"{name}: {reason}") for name, reason in given]
    more = [f"and {len(lines) - _SHOWN} more, listed in the manifest"]
    return "\n".join(lines[:_SHOWN] + (more if len(lines) > _SHOWN else []))
