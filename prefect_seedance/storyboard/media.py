"""A video or an audio file that is a reference of clips."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from prefect_seedance.api.capabilities import Capabilities, FileLimits
from prefect_seedance.storyboard.source_file import SourceFile

Medium = Literal["video", "audio"]

WORDS: Final[Mapping[Medium, str]] = {"video": "video", "audio": "audio file"}
"""What a medium is called in messages."""


class SourceMedia(SourceFile):
    """A video or an audio file at a URL, or a local or stored one that was inspected."""

    duration_seconds: float | None = Field(default=None, description="Length, to a tenth of a second.")
    width: int | None = Field(default=None, description="Width in pixels; None for an audio file.")
    height: int | None = Field(default=None, description="Height in pixels; None for an audio file.")
    frame_rate: float | None = Field(default=None, description="Frames a second; None for an audio file.")


def limits_of(can: Capabilities, medium: Medium) -> FileLimits:
    """Return what a model requires of its videos or audio files."""
    return can.video_files if medium == "video" else can.audio_files
