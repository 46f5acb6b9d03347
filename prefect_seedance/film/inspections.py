"""The findings about clips and their cuts."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from prefect_seedance.video.findings import Interval


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class VideoInspection(_Value):
    """The findings of one pass over a video; they depend on its bytes alone.

    Attributes:
        schema_version: Raised whenever the findings for the same video would differ.
        sha256: Digest of the video.
        black: Intervals with black frames.
        frozen: Intervals without motion.
        silent: Intervals without sound; empty if there is no sound track.
        has_sound: Whether there is a sound track.
        start_still: Key of the first frame, a JPEG of at most 360 lines.
        middle_still: Key of the frame at half the duration.
        end_still: Key of the last frame.
    """

    schema_version: Literal[1] = 1
    sha256: str
    black: tuple[Interval, ...] = ()
    frozen: tuple[Interval, ...] = ()
    silent: tuple[Interval, ...] = ()
    has_sound: bool
    start_still: str
    middle_still: str
    end_still: str
    inspected_at: datetime


class Similarity(_Value):
    """The similarity of two images that should be the same.

    Attributes:
        ssim: Structural similarity of brightness or colours, whichever is lower: 1.0 is identical; two
            images of one place reach about 0.8. None if they could not be compared.
        reason: Why they could not be compared.
    """

    ssim: float | None = None
    reason: str | None = None


class Seams(_Value):
    """How well a clip's ends match; None where there is nothing to match.

    Attributes:
        start: Its first frame against its start image.
        end: Its last frame against its end image.
        next: Its last frame against the next clip's first.
    """

    start: Similarity | None = None
    end: Similarity | None = None
    next: Similarity | None = None


class ClipInspection(_Value):
    """The findings about one clip.

    Attributes:
        start: Its first frame against its start image; None without a start image.
        end: Its last frame against its end image; None without an end image.
    """

    inspection: VideoInspection
    start: Similarity | None = None
    end: Similarity | None = None
