"""Films: real MP4s that lead from one picture to another."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.container import OutputContainer
from av.video import VideoStream
from PIL import Image

from prefect_seedance.sandbox.pictures import Size, load, paint

_SAMPLE_RATE = 48_000

# Hertz of gentle chords, one of which the film's content chooses.
_CHORDS = (
    (220.00, 277.18, 329.63),
    (196.00, 246.94, 293.66),
    (174.61, 220.00, 261.63),
    (164.81, 207.65, 246.94),
)


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
            audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo")
            for tone in _chord(recipe):
                container.mux(audio.encode(tone))
            container.mux(audio.encode(None))
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
    return 0.12 * _ease(moment) if pictures == 1 else 0.05 * math.sin(math.pi * moment) ** 2


def _push_in(picture: Image.Image, closeness: float) -> Image.Image:
    width, height = picture.size
    x, y = width * closeness / 2, height * closeness / 2
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=(x, y, width - x, height - y))


def _chord(recipe: Recipe) -> Iterator[AudioFrame]:
    notes = _CHORDS[int(recipe.digest[:8], 16) % len(_CHORDS)]
    left = "+".join(f"0.1*sin(2*PI*{note}*t)" for note in notes)
    right = "+".join(f"0.1*sin(2*PI*{note}*t+1)" for note in notes)
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add("aevalsrc", f"exprs={left}|{right}:s={_SAMPLE_RATE}:d={recipe.seconds}"),
        graph.add("afade", "t=in:d=0.5"),
        graph.add("afade", f"t=out:st={recipe.seconds - 1}:d=1"),
        graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        graph.add("abuffersink"),
    ).configure()
    position = 0
    while position < recipe.seconds * _SAMPLE_RATE:
        frame = cast("AudioFrame", graph.pull())
        frame.pts, frame.time_base = position, Fraction(1, _SAMPLE_RATE)
        position += frame.samples
        yield frame
