"""Watch a video from its beginning to its end, once."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from av import AudioFrame, VideoFrame
from PIL import Image
from pydantic import BaseModel, ConfigDict

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.filters import Pipe, Step
from prefect_seedance.video.probe import open_video, tracks

_STILL_LINES = 360
"""Enough to see a clip on a page; a still then takes about 50 kB."""

_PICTURE_TESTS: tuple[Step, ...] = (
    ("blackdetect", "d=0.1"),
    ("freezedetect", "n=-60dB:d=0.5"),
)
"""Black for a tenth of a second is a flash that anyone sees; what stands still for half a second is stuck."""

_SOUND_TESTS: tuple[Step, ...] = (("silencedetect", "n=-60dB:d=0.5"),)
"""Quieter than -60 dB is inaudible beside anything else."""


class Interval(BaseModel):
    """A part of a video, in seconds from its beginning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start_seconds: float
    end_seconds: float


class Scan(NamedTuple):
    """What was seen and heard.

    Attributes:
        start: The first picture, of at most 360 lines.
        middle: The picture at half the time.
        end: The last picture.
        black: Where the picture is black.
        frozen: Where it stands still.
        silent: Where nothing is heard, though there is a sound track.
    """

    start: Image.Image
    middle: Image.Image
    end: Image.Image
    black: tuple[Interval, ...]
    frozen: tuple[Interval, ...]
    silent: tuple[Interval, ...]
    has_sound: bool


def watch(file: BinaryIO, *, duration_seconds: float) -> Scan:
    """Decode a whole video once, and tell what is to be seen and heard.

    Args:
        file: A seekable file, which is left open at no particular position.
        duration_seconds: How long it is.

    Raises:
        IntegrityError: It cannot be decoded.
    """
    with open_video(file) as container:
        video, audio = tracks(container)
        looking = Pipe(video, *_PICTURE_TESTS)
        listening = Pipe(audio, *_SOUND_TESTS) if audio else None
        stills, black, frozen, silent = _Stills(duration_seconds / 2), _Marks(), _Marks(), _Marks()

        def look(frames: Iterator[VideoFrame | AudioFrame]) -> None:
            for frame in frames:
                stills.see(cast(VideoFrame, frame))
                black.read(frame, name="black_{}")
                frozen.read(frame, name="freezedetect.freeze_{}")

        def listen(frames: Iterator[VideoFrame | AudioFrame]) -> None:
            for frame in frames:
                silent.read(frame, name="silence_{}")

        for packet in container.demux(*(stream for stream in (video, audio) if stream)):
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    look(looking.push(frame))
                elif listening:
                    listen(listening.push(cast(AudioFrame, frame)))
        look(looking.push(None))
        if listening:
            listen(listening.push(None))
        start, middle, end = stills.pictures()
        begin_seconds = stills.begin_seconds
    return Scan(
        start=start,
        middle=middle,
        end=end,
        black=black.stretches(begin_seconds, duration_seconds),
        frozen=frozen.stretches(begin_seconds, duration_seconds),
        silent=silent.stretches(begin_seconds, duration_seconds),
        has_sound=audio is not None,
    )


class _Stills:
    """Keeps of all pictures the first, the one at a moment, and the last."""

    def __init__(self, middle_seconds: float) -> None:
        self.begin_seconds = 0.0
        self._middle_seconds = middle_seconds
        self._first: VideoFrame | None = None
        self._middle: VideoFrame | None = None
        self._last: VideoFrame | None = None

    def see(self, frame: VideoFrame) -> None:
        seconds = frame.time or 0.0
        if self._first is None:
            self._first, self.begin_seconds = frame, seconds
        if self._middle is None or seconds - self.begin_seconds <= self._middle_seconds:
            self._middle = frame
        self._last = frame

    def pictures(self) -> Iterator[Image.Image]:
        for frame in (self._first, self._middle, self._last):
            if frame is None:
                raise IntegrityError("The video holds no picture that can be decoded")
            yield _still(frame)


def _still(frame: VideoFrame) -> Image.Image:
    picture = cast(Image.Image, frame.to_image())  # type: ignore[no-untyped-call]  # PyAV left it out
    picture.thumbnail((picture.width, _STILL_LINES), Image.Resampling.LANCZOS)
    return picture


class _Marks:
    """The moments at which a filter says that something begins or ends."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def read(self, frame: VideoFrame | AudioFrame, *, name: str) -> None:
        said = frame.metadata
        if start := said.get(f"lavfi.{name.format('start')}"):
            self._starts.append(float(start))
        if end := said.get(f"lavfi.{name.format('end')}"):
            self._ends.append(float(end))

    def stretches(self, begin_seconds: float, duration_seconds: float) -> tuple[Interval, ...]:
        """Put beginnings and ends together; what has no end goes on to the video's."""
        ends = [*self._ends, begin_seconds + duration_seconds]
        return tuple(
            Interval(start_seconds=round(start - begin_seconds, 3), end_seconds=round(end - begin_seconds, 3))
            for start, end in zip(self._starts, ends, strict=False)
        )
