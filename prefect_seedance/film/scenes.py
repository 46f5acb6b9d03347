"""The sections of a film, planned and made."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from prefect_seedance.clips.archive import Clip


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Part(_Value):
    """One section of a film: a clip, or the slate shown instead.

    Attributes:
        number: The clip's number in the production, from 1.
        fingerprint: The clip's identity.
        sha256: Digest of the clip's video; None for a slate.
        start_seconds: Its start in the film.
        duration_seconds: Its duration in the film.
        dropped_frames: Frames dropped at its start, because they repeat the frame before the cut.
    """

    number: int
    name: str
    fingerprint: str
    sha256: str | None
    start_seconds: float
    duration_seconds: float
    dropped_frames: int = 0

    @property
    def is_slate(self) -> bool:
        """Whether a slate is shown instead of the clip."""
        return self.sha256 is None


class Gap(_Value):
    """A clip that is missing in the film.

    Attributes:
        number: The clip's number in the production, from 1.
        at_seconds: Where it would start in the film.
        is_slated: Whether a slate is shown; otherwise the next clip follows.
        reason: Why the clip is missing.
    """

    number: int
    name: str
    fingerprint: str
    at_seconds: float
    is_slated: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A planned section of a film.

    Attributes:
        number: From 1.
        seconds: The planned duration.
        clip: None if it is missing.
        reason: Why it is missing.
    """

    number: int
    name: str
    fingerprint: str
    seconds: float
    clip: Clip | None = None
    reason: str | None = None
