"""Look at archived clips: what is in each, and whether each cut holds."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Stretch(_Value):
    """A part of a clip, in seconds from the clip's beginning."""

    start_seconds: float
    end_seconds: float


class Inspection(_Value):
    """What looking at a whole video once has found; it follows from the video's bytes alone.

    Attributes:
        schema_version: Grows whenever the same video would be judged otherwise.
        sha256: Of the video that was looked at.
        black: Where the picture is black.
        frozen: Where the picture stands still.
        silent: Where the sound track is silent; empty if there is none.
        has_sound: Whether there is a sound track.
        start_still: Key of the first picture, a JPEG of at most 360 lines.
        middle_still: Key of the picture at half the time.
        end_still: Key of the last picture.
    """

    schema_version: Literal[1] = 1
    sha256: str
    black: tuple[Stretch, ...] = ()
    frozen: tuple[Stretch, ...] = ()
    silent: tuple[Stretch, ...] = ()
    has_sound: bool
    start_still: str
    middle_still: str
    end_still: str
    inspected_at: datetime


class Likeness(_Value):
    """How alike two pictures are that should be one.

    Attributes:
        ssim: Structural similarity: 1.0 is identical, below about 0.8 anyone sees the difference. None if
            they could not be compared.
        reason: Why not.
    """

    ssim: float | None = None
    reason: str | None = None


class Seams(_Value):
    """How well a clip meets what it should meet; None where there is nothing to meet.

    Attributes:
        start: Its first picture, and the image it was to begin at.
        end: Its last picture, and the image it was to end at.
        next: Its last picture, and the next clip's first.
    """

    start: Likeness | None = None
    end: Likeness | None = None
    next: Likeness | None = None
