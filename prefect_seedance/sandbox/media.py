"""Checks of the videos and audio files that are references."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av

Medium = Literal["video", "audio"]

_ROUNDING_SECONDS = 0.05
"""An encoder of sound adds some padding."""


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """What a model accepts of the videos, or of the audio files, that are references.

    Attributes:
        max_bytes: Of a file.
        seconds: Shortest and longest file.
        total_seconds: Most seconds of all files of a generation.
    """

    max_bytes: int
    seconds: tuple[float, float] = (2, 15)
    total_seconds: float = 15


class UnusableMediaError(Exception):
    """The file is not a video or an audio file that the API supports."""


def check_lengths(files: Iterable[Path], medium: Medium, *, limits: MediaLimits) -> None:
    """Decode files, and check the length of each and of all.

    Args:
        files: Of one generation.
        medium: What they must contain.
        limits: Of this medium; its bytes were checked by the download.

    Raises:
        UnusableMediaError: One is damaged, of another medium, too short or too long.
    """
    (fewest, most), total = limits.seconds, 0.0
    for file in files:
        seconds = _seconds(file, medium)
        if not fewest - _ROUNDING_SECONDS <= seconds <= most + _ROUNDING_SECONDS:
            raise UnusableMediaError(f"a {medium} has {seconds:.2f} seconds, not {fewest} to {most}")
        total += round(seconds, 1)
    if total > limits.total_seconds + _ROUNDING_SECONDS:
        raise UnusableMediaError(
            f"the {medium} files have {total:.2f} seconds, more than {limits.total_seconds}"
        )


def _seconds(file: Path, medium: Medium) -> float:
    try:
        with av.open(str(file), "r") as container:
            streams = container.streams.video if medium == "video" else container.streams.audio
            is_video = any(stream.average_rate for stream in container.streams.video)
            if not streams or (medium == "audio" and is_video):
                raise UnusableMediaError(f"it is not a {medium} file")
            ends = [
                frame.time + (frame.duration or 0) * float(frame.time_base)
                for frame in container.decode(streams[0])
                if isinstance(frame, av.VideoFrame | av.AudioFrame)
                if frame.time is not None and frame.time_base
            ]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnusableMediaError(f"the {medium} file cannot be decoded") from error
    if not ends:
        raise UnusableMediaError(f"it is not a {medium} file")
    return max(ends)
