"""Describe what a scan finds in a video, without loading FFmpeg."""

from typing import NamedTuple

from PIL import Image
from pydantic import BaseModel, ConfigDict


class Interval(BaseModel):
    """A part of a video, in seconds from its beginning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start_seconds: float
    end_seconds: float


class Scan(NamedTuple):
    """The findings of one pass over a video.

    Attributes:
        start: The first frame as a JPEG file of at most 360 lines.
        middle: The frame at half the declared duration.
        end: The last frame.
        ends: The first and the last frame as images for `similarity`; none unless they were wanted.
        black: Intervals with black frames.
        frozen: Intervals without motion.
        silent: Intervals without sound; empty if there is no sound track.
    """

    start: bytes
    middle: bytes
    end: bytes
    ends: tuple[Image.Image, ...]
    black: tuple[Interval, ...]
    frozen: tuple[Interval, ...]
    silent: tuple[Interval, ...]
    has_sound: bool
