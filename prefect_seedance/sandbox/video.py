"""Rendering of real MP4 videos from one image to another."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.container import OutputContainer
from av.video import VideoStream
from PIL import Image

from prefect_seedance.sandbox.images import Size, draw_cards, load
from prefect_seedance.sandbox.sound import chord


class RenderInterruptedError(Exception):
    """The sandbox is shutting down and needs no more videos."""


@dataclass(frozen=True)
class VideoSpec:
    """All inputs that determine the bytes of a video."""

    images: tuple[Path, ...]
    """Zero, one or two files, each named by the digest of its content."""
    prompt: str
    size: Size
    seconds: int
    frame_rate: int
    sound: bool
    fixed_lens: bool

    @property
    def digest(self) -> str:
        """The digest of the inputs; it is equal for two specs exactly when their videos are equal."""
        prompt = "" if self.images else self.prompt
        names = tuple(Path(image.name) for image in self.images)
        return hashlib.sha256(repr(replace(self, prompt=prompt, images=names)).encode()).hexdigest()


def render(spec: VideoSpec, path: Path, *, interrupted: Callable[[], bool]) -> None:
    """Render a spec to a file, with the index before the data.

    Raises:
        UnusableImageError: An image cannot be decoded.
        RenderInterruptedError: `interrupted` returned true.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        video = _video_stream(container, spec)
        if spec.sound:
            _add_sound(container, chord(int(spec.digest[:8], 16), seconds=spec.seconds))
        for image in _frames(spec):
            if interrupted():
                raise RenderInterruptedError
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # PyAV has no types for Pillow images
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _video_stream(container: OutputContainer, spec: VideoSpec) -> VideoStream:
    options = {"preset": "ultrafast", "crf": "18"}
    stream = container.add_stream("libx264", rate=spec.frame_rate, options=options)
    stream.width, stream.height = spec.size
    stream.pix_fmt = "yuv420p"
    # With one thread, a spec gives the same bytes on every machine.
    stream.thread_count = 1
    return stream


def _add_sound(container: OutputContainer, track: bytes) -> None:
    with av.open(io.BytesIO(track), "r") as source:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            # The last packet of a track is empty and only marks its end.
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


def _frames(spec: VideoSpec) -> Iterator[Image.Image]:
    ends = [load(image, spec.size) for image in spec.images] or draw_cards(spec.prompt, spec.size)
    start, end = ends[0], ends[-1]
    count = spec.seconds * spec.frame_rate
    for number in range(count):
        progress = number / (count - 1)
        image = start if len(ends) == 1 else Image.blend(start, end, _ease(progress))
        yield image if spec.fixed_lens else _zoom_in(image, _zoom(progress, images=len(ends)))


def _ease(progress: float) -> float:
    return progress * progress * (3 - 2 * progress)


def _zoom(progress: float, *, images: int) -> float:
    """Return the share of the frame to crop; zero where a source image must be visible in full."""
    return 0.12 * _ease(progress) if images == 1 else 0.8 * (progress * (1 - progress)) ** 2


def _zoom_in(image: Image.Image, zoom: float) -> Image.Image:
    if not zoom:
        return image
    width, height = image.size
    x, y = width * zoom / 2, height * zoom / 2
    return image.resize(image.size, Image.Resampling.BILINEAR, box=(x, y, width - x, height - y))
