"""Describe a video, without loading FFmpeg."""

from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

_EBML = b"\x1a\x45\xdf\xa3"
"""First bytes of every WebM. Source: RFC 8794, section 11.2.1."""

MP3_SIGNATURES = (
    b"ID3\x02",
    b"ID3\x03",
    b"ID3\x04",
    b"\xff\xe2",
    b"\xff\xe3",
    b"\xff\xf2",
    b"\xff\xf3",
    b"\xff\xfa",
    b"\xff\xfb",
)
"""First bytes of an MP3: its tags with their version, or the header of a frame of layer III. Sources: ID3v2,
section 3.1; ISO/IEC 11172-3."""

_HEAD_BYTES = 12


class VideoFacts(BaseModel):
    """Format, size and duration of a video, found by decoding all of it.

    Attributes:
        container: ``mp4`` or ``webm``, including related formats.
        width: In square pixels, as players show the video.
        duration_seconds: From the start of the first frame to the end of the last.
        frame_rate: Frames a second, on average.
        frames: Number of decoded frames.
        audio_codec: None if there is no sound track.
        audio_sample_rate: Samples a second; None if there is no sound track.
    """

    model_config = ConfigDict(frozen=True)

    container: str
    width: int
    height: int
    duration_seconds: float
    frame_rate: float
    frames: int
    video_codec: str
    pixel_format: str | None = None
    audio_codec: str | None = None
    audio_sample_rate: int | None = None


MediaFormat = Literal["MP4", "MOV", "WEBM", "MP3", "WAV"]
"""Formats of videos and sounds that can be read."""


class MediaFacts(BaseModel):
    """Format, length and size of a video or a sound.

    Attributes:
        duration_seconds: Of the decoded part; as declared if the file is too long to decode.
        width: In square pixels; None for a sound, like all below.
        frame_rate: Frames a second, on average.
    """

    model_config = ConfigDict(frozen=True)

    format: MediaFormat
    duration_seconds: float
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None


def detect_container(file: BinaryIO) -> Literal["mp4", "webm"] | None:
    """Detect the container of a video by its first bytes; return None if it is neither MP4 nor WebM.

    FFmpeg itself would also open a playlist, and the files in it.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if head.startswith(_EBML):
        return "webm"
    if head[4:8] == b"ftyp":
        return "mp4"
    return None


def detect_format(head: bytes) -> MediaFormat | None:
    """Detect the format of a video or a sound by its first bytes; return None if it is none that is read.

    Args:
        head: At least the first 12 bytes of the file.
    """
    if head.startswith(_EBML):
        return "WEBM"
    if head[4:8] == b"ftyp":
        return "MOV" if head[8:12] == b"qt  " else "MP4"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "WAV"
    return "MP3" if head.startswith(MP3_SIGNATURES) else None
