"""A film and its sections, planned and made."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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


Join = Literal["copied", "exact"]
"""How clips were joined."""


class Film(BaseModel):
    """The record of a film: a production's clips in order, as one video.

    Attributes:
        schema_version: Raised whenever an older reader would misread this version.
        key: Key of the film; it contains the digest, so its content never changes.
        stable_key: Key of the production's latest film, always the same.
        join: ``copied``: without re-encoding. ``exact``: re-encoded to one size, frame rate and sample rate.
        reason: Why the clips could not be copied; None if they were, or if exact was requested.
        parts: The sections, in order, without gaps.
        gaps: The missing clips.
        recipe: Digest of everything that decides the film; the same recipe is not joined again.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    production: str
    title: str
    key: str
    stable_key: str
    sha256: str
    size_bytes: int
    duration_seconds: float
    width: int
    height: int
    frame_rate: float
    has_sound: bool
    join: Join
    reason: str | None = None
    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...] = ()
    recipe: str
    joined_at: datetime


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
