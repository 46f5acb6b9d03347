"""Find black, frozen and silent parts of a video, and take stills."""

import io
from collections.abc import Iterator, Mapping
from typing import cast

import av
from av import AudioFrame, VideoFrame
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from PIL import Image

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.filters import Filter, FilterChain
from prefect_seedance.video.findings import Interval, Scan
from prefect_seedance.video.probe import shown_size, tracks
from prefect_seedance.video.similarity import comparable

_STILL_LINES = 360
"""Enough for the report page; a still takes about 50 kB."""

_JPEG = {"quality": 85}
"""Measured with detailed frames of 640×360: a still takes about 40 kB and has a similarity of 0.987."""

_VIDEO_FILTERS: tuple[Filter, ...] = (
    ("blackdetect", "d=0.1"),
    ("freezedetect", "n=-60dB:d=0.5"),
)
"""A tenth of a second of black is a visible flash; half a second without motion is a freeze."""

_AUDIO_FILTERS: tuple[Filter, ...] = (("silencedetect", "n=-60dB:d=0.5"),)
"""Sound below -60 dB is inaudible beside other sound."""


_FRAMES_AT_ONCE, _SOUNDS_AT_ONCE = 4, 32
"""Frames to filter before results are read; few, because a frame in 4K takes 13 MB."""


class Scanner:
    """Scans a video while `probe` decodes it. A scan that fails does not make the video invalid."""

    def __init__(self, *, wants_ends: bool) -> None:
        """Create a scanner for one video.

        Args:
            wants_ends: Whether the scan has the images of the first and the last frame.
        """
        self._wants_ends = wants_ends
        self._error: Exception | None = None
        self._pass: _Pass | None = None

    def begin(self, container: InputContainer) -> None:
        """Prepare the filters."""
        try:
            self._pass = _Pass(container)
        except Exception as error:  # noqa: BLE001 -- raised by `result`
            self._error = error

    def add(self, frame: VideoFrame | AudioFrame) -> None:
        """Scan the next frame."""
        if self._pass and not self._error:
            try:
                self._pass.add(frame)
            except Exception as error:  # noqa: BLE001 -- raised by `result`
                self._error = error

    def result(self, *, duration_seconds: float) -> Scan:
        """Return the findings, once the whole video was decoded.

        Raises:
            Exception: What went wrong during the scan.
        """
        if self._error or self._pass is None:
            raise self._error or RuntimeError("The video was not decoded")
        return self._pass.finish(duration_seconds, wants_ends=self._wants_ends)


class _Pass:
    """The filters of one pass over a video, and what they have found."""

    def __init__(self, container: InputContainer) -> None:
        video, audio = tracks(container)
        self._video = FilterChain(video, *_VIDEO_FILTERS, batch=_FRAMES_AT_ONCE)
        self._audio = FilterChain(audio, *_AUDIO_FILTERS, batch=_SOUNDS_AT_ONCE) if audio else None
        self._stills = _Stills((container.duration or 0) / av.time_base / 2)
        self._size = shown_size(video)
        self._black, self._frozen, self._silent = _Marks(), _Marks(), _Marks()

    def add(self, frame: VideoFrame | AudioFrame) -> None:
        if isinstance(frame, VideoFrame):
            self._stills.add(frame)
            self._read_frames(self._video.push(frame))
        elif self._audio:
            self._read_sound(self._audio.push(frame))

    def finish(self, duration_seconds: float, *, wants_ends: bool) -> Scan:
        self._read_frames(self._video.push(None))
        if self._audio:
            self._read_sound(self._audio.push(None))
        scaler = VideoReformatter()
        images = [_still(frame, scaler, size=self._size) for frame in self._stills.frames()]
        start, middle, end = map(_jpeg, images)
        begin_seconds = self._stills.begin_seconds
        return Scan(
            start=start,
            middle=middle,
            end=end,
            ends=(comparable(images[0]), comparable(images[-1])) if wants_ends else (),
            black=self._black.intervals(begin_seconds, duration_seconds),
            frozen=self._frozen.intervals(begin_seconds, duration_seconds),
            silent=self._silent.intervals(begin_seconds, duration_seconds),
            has_sound=self._audio is not None,
        )

    def _read_frames(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        for frame in frames:
            if found := frame.metadata:
                self._black.read(found, name="black")
                self._frozen.read(found, name="freezedetect.freeze")

    def _read_sound(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        for frame in frames:
            if found := frame.metadata:
                self._silent.read(found, name="silence")


class _Stills:
    """Keeps the first frame, the one at a given time, and the last, in square pixels."""

    def __init__(self, middle_seconds: float) -> None:
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

    def frames(self) -> Iterator[VideoFrame]:
        for frame in (self._first, self._middle, self._last):
            if frame is None:
                raise IntegrityError("It has no frame that can be decoded")
            yield frame


def _still(frame: VideoFrame, scaler: VideoReformatter, *, size: tuple[int, int]) -> Image.Image:
    """Return a frame as a small image in its shown shape, scaled by FFmpeg: four times as fast as Pillow."""
    height = min(size[1], _STILL_LINES)
    width = max(1, round(size[0] * height / size[1]))
    small = scaler.reformat(frame, width, height, format="rgb24", interpolation="AREA", threads=1)
    return cast(Image.Image, small.to_image())  # type: ignore[no-untyped-call]  # untyped in PyAV


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **_JPEG)
    return file.getvalue()


class _Marks:
    """The times at which a filter reports the start or end of an interval."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def read(self, metadata: Mapping[str, str], *, name: str) -> None:
        if start := metadata.get(f"lavfi.{name}_start"):
            self._starts.append(float(start))
        if end := metadata.get(f"lavfi.{name}_end"):
            self._ends.append(float(end))

    def intervals(self, begin_seconds: float, duration_seconds: float) -> tuple[Interval, ...]:
        """Return the intervals; one without an end lasts until the end of the video."""
        ends = [*self._ends, begin_seconds + duration_seconds]
        return tuple(
            Interval(start_seconds=round(start - begin_seconds, 3), end_seconds=round(end - begin_seconds, 3))
            for start, end in zip(self._starts, ends, strict=False)
        )
