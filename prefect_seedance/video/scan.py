"""Find black, frozen and silent parts of a video, and take stills."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from av import AudioFrame, VideoFrame
from PIL import Image
from pydantic import BaseModel, ConfigDict

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.filters import Filter, FilterChain
from prefect_seedance.video.probe import open_video, shown_size, tracks

_STILL_LINES = 360
"""Enough for the report page; a still takes about 50 kB."""

_VIDEO_FILTERS: tuple[Filter, ...] = (
    ("blackdetect", "d=0.1"),
    ("freezedetect", "n=-60dB:d=0.5"),
)
"""A tenth of a second of black is a visible flash; half a second without motion is a freeze."""

_AUDIO_FILTERS: tuple[Filter, ...] = (("silencedetect", "n=-60dB:d=0.5"),)
"""Sound below -60 dB is inaudible beside other sound."""


class Interval(BaseModel):
    """A part of a video, in seconds from its beginning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start_seconds: float
    end_seconds: float


class Scan(NamedTuple):
    """The findings of one pass over a video.

    Attributes:
        start: The first frame, scaled to at most 360 lines.
        middle: The frame at half the duration.
        end: The last frame.
        black: Intervals with black frames.
        frozen: Intervals without motion.
        silent: Intervals without sound; empty if there is no sound track.
    """

    start: Image.Image
    middle: Image.Image
    end: Image.Image
    black: tuple[Interval, ...]
    frozen: tuple[Interval, ...]
    silent: tuple[Interval, ...]
    has_sound: bool


def scan(file: BinaryIO, *, duration_seconds: float) -> Scan:
    """Decode a whole video once, and return its findings and stills.

    Args:
        file: A seekable file; it stays open, and its position is undefined afterwards.
        duration_seconds: Duration of the video.

    Raises:
        IntegrityError: The video cannot be decoded.
    """
    with open_video(file) as container:
        video, audio = tracks(container)
        video_filters = FilterChain(video, *_VIDEO_FILTERS)
        audio_filters = FilterChain(audio, *_AUDIO_FILTERS) if audio else None
        stills = _Stills(duration_seconds / 2, size=shown_size(video))
        black, frozen, silent = _Marks(), _Marks(), _Marks()

        def read_frames(frames: Iterator[VideoFrame | AudioFrame]) -> None:
            for frame in frames:
                stills.add(cast(VideoFrame, frame))
                black.read(frame, name="black_{}")
                frozen.read(frame, name="freezedetect.freeze_{}")

        def read_sound(frames: Iterator[VideoFrame | AudioFrame]) -> None:
            for frame in frames:
                silent.read(frame, name="silence_{}")

        for packet in container.demux(*(stream for stream in (video, audio) if stream)):
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    read_frames(video_filters.push(frame))
                elif audio_filters:
                    read_sound(audio_filters.push(cast(AudioFrame, frame)))
        read_frames(video_filters.push(None))
        if audio_filters:
            read_sound(audio_filters.push(None))
        start, middle, end = stills.images()
        begin_seconds = stills.begin_seconds
    return Scan(
        start=start,
        middle=middle,
        end=end,
        black=black.intervals(begin_seconds, duration_seconds),
        frozen=frozen.intervals(begin_seconds, duration_seconds),
        silent=silent.intervals(begin_seconds, duration_seconds),
        has_sound=audio is not None,
    )


class _Stills:
    """Keeps the first frame, the one at a given time, and the last, in square pixels."""

    def __init__(self, middle_seconds: float, *, size: tuple[int, int]) -> None:
        self._size = size
        self.begin_seconds = 0.0
        self._middle_seconds = middle_seconds
        self._first: VideoFrame | None = None
        self._middle: VideoFrame | None = None
        self._last: VideoFrame | None = None

    def add(self, frame: VideoFrame) -> None:
        seconds = frame.time or 0.0
        if self._first is None:
            self._first, self.begin_seconds = frame, seconds
        if self._middle is None or seconds - self.begin_seconds <= self._middle_seconds:
            self._middle = frame
        self._last = frame

    def images(self) -> Iterator[Image.Image]:
        for frame in (self._first, self._middle, self._last):
            if frame is None:
                raise IntegrityError("The video has no frame that can be decoded")
            yield _still(frame, size=self._size)


def _still(frame: VideoFrame, *, size: tuple[int, int]) -> Image.Image:
    image = cast(Image.Image, frame.to_image())  # type: ignore[no-untyped-call]  # untyped in PyAV
    image = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    image.thumbnail((image.width, _STILL_LINES), Image.Resampling.LANCZOS)
    return image


class _Marks:
    """The times at which a filter reports the start or end of an interval."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def read(self, frame: VideoFrame | AudioFrame, *, name: str) -> None:
        metadata = frame.metadata
        if start := metadata.get(f"lavfi.{name.format('start')}"):
            self._starts.append(float(start))
        if end := metadata.get(f"lavfi.{name.format('end')}"):
            self._ends.append(float(end))

    def intervals(self, begin_seconds: float, duration_seconds: float) -> tuple[Interval, ...]:
        """Return the intervals; one without an end lasts until the end of the video."""
        ends = [*self._ends, begin_seconds + duration_seconds]
        return tuple(
            Interval(start_seconds=round(start - begin_seconds, 3), end_seconds=round(end - begin_seconds, 3))
            for start, end in zip(self._starts, ends, strict=False)
        )
