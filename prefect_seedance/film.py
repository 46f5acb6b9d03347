"""Join archived clips to one film, and say honestly what is missing in it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Part(_Value):
    """What plays from one moment of a film on: a clip, or a slate in its stead.

    Attributes:
        number: The clip's place in the production, from 1.
        fingerprint: The clip's identity.
        sha256: Of the clip's video; None if a slate stands for it.
        start_seconds: When it begins in the film.
        duration_seconds: How long it plays there.
        dropped_frames: How many frames at its beginning were left out, because the frame before the cut
            shows the same.
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
        """Whether a slate stands for the clip, which is missing."""
        return self.sha256 is None


class Gap(_Value):
    """A clip that the film lacks.

    Attributes:
        number: The clip's place in the production, from 1.
        at_seconds: Where in the film it is missing.
        is_slated: Whether a slate is shown there; otherwise the film goes on with the next clip.
        reason: Why there is no clip.
    """

    number: int
    name: str
    fingerprint: str
    at_seconds: float
    is_slated: bool
    reason: str | None = None


class Film(_Value):
    """A production's clips in order, as one video.

    Attributes:
        schema_version: Grows whenever a reader of an older version would misread this one.
        key: Where in the archive the film lies; its name tells its content, so it never changes.
        stable_key: Where the production's latest film lies, always under the same name.
        join: ``copied``: the clips' own pictures and sound, untouched. ``exact``: all encoded anew to one
            size, frame rate and sample rate.
        reason: Why they could not be copied; None if they were, or if exact was asked for.
        parts: What plays, in order, without holes.
        gaps: Which clips are missing.
        recipe: Digest of all that decided the film; the same recipe is not joined again.
    """

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
    join: Literal["copied", "exact"]
    reason: str | None = None
    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...] = ()
    recipe: str
    joined_at: datetime
