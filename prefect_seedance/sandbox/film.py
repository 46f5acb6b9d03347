"""Films: real MP4s that lead from one picture to another."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.container import OutputContainer
from av.video import VideoStream
from PIL import Image

from prefect_seedance.sandbox.pictures import Size, load, paint
from prefect_seedance.sandbox.sound import chord


class InterruptedFilmError(Exception):
    """The sandbox is closing, so the film is not needed any more."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the bytes of a film."""

    pictures: tuple[Path, ...]
    """None, one or two files, each named by the digest of its content."""
    words: str
    size: Size
    seconds: int
    frame_rate: int
    sound: bool
    fixed_lens: bool

    @property
    def digest(self) -> str:
        """Name the film's content; two recipes share it exactly when they make the same bytes."""
        words = "" if self.pictures else self.words
        names = tuple(Path(picture.name) for picture in self.pictures)
        return hashlib.sha256(repr(replace(self, words=words, pictures=names)).encode()).hexdigest()


def shoot(recipe: Recipe, path: Path, *, interrupted: Callable[[], bool]) -> None:
    """Write the film of a recipe to a file, the index before the data.

    Raises:
        UnusablePictureError: A picture cannot be decoded.
        InterruptedFilmError: `interrupted` said so.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        video = _video_stream(container, recipe)
        if recipe.sound:
            _add_sound(container, chord(int(recipe.digest[:8], 16), seconds=recipe.seconds))
        for picture in _frames(recipe):
            if interrupted():
                raise InterruptedFilmError
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]  # av leaves Pillow untyped
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _video_stream(container: OutputContainer, recipe: Recipe) -> VideoStream:
    options = {"preset": "ultrafast", "crf": "18"}
    stream = container.add_stream("libx264", rate=recipe.frame_rate, options=options)
    stream.width, stream.height = recipe.size
    stream.pix_fmt = "yuv420p"
    # One thread, so that the same recipe makes the same bytes on every machine.
    stream.thread_count = 1
    return stream


def _add_sound(container: OutputContainer, track: bytes) -> None:
    with av.open(io.BytesIO(track), "r") as source:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            # The last packet of a track is an empty mark of its end.
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


def _frames(recipe: Recipe) -> Iterator[Image.Image]:
    shots = [load(picture, recipe.size) for picture in recipe.pictures] or paint(recipe.words, recipe.size)
    start, end = shots[0], shots[-1]
    count = recipe.seconds * recipe.frame_rate
    for number in range(count):
        moment = number / (count - 1)
        picture = start if len(shots) == 1 else Image.blend(start, end, _ease(moment))
        yield picture if recipe.fixed_lens else _push_in(picture, _closeness(moment, pictures=len(shots)))


def _ease(moment: float) -> float:
    return moment * moment * (3 - 2 * moment)


def _closeness(moment: float, *, pictures: int) -> float:
    """Return how much of the frame the camera has cut off; nothing where a given picture must show."""
    return 0.12 * _ease(moment) if pictures == 1 else 0.8 * (moment * (1 - moment)) ** 2


def _push_in(picture: Image.Image, closeness: float) -> Image.Image:
    if not closeness:
        return picture
    width, height = picture.size
    x, y = width * closeness / 2, height * closeness / 2
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=(x, y, width - x, height - y))
