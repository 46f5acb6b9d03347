"""Run frames through FFmpeg's filters."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TypeAlias, cast

from av import AudioFrame, AudioStream, VideoFrame, VideoStream
from av.error import BlockingIOError as NothingYetError
from av.error import EOFError as NothingMoreError
from av.filter import Graph
from av.filter.context import FilterContext
from PIL import Image

Step: TypeAlias = tuple[str, str]
"""A filter's name and its options, as FFmpeg's documentation has them."""


class Pipe:
    """Filters behind each other, that take in a stream's frames and give others."""

    def __init__(self, stream: VideoStream | AudioStream, *steps: Step) -> None:
        graph = Graph()
        is_video = isinstance(stream, VideoStream)
        self._source = (graph.add_buffer if is_video else graph.add_abuffer)(template=stream)  # type: ignore[arg-type]
        self._sink = graph.add("buffersink" if is_video else "abuffersink")
        graph.link_nodes(self._source, *(graph.add(name, options) for name, options in steps), self._sink)
        graph.configure()
        self._graph = graph

    def push(self, frame: VideoFrame | AudioFrame | None) -> Iterator[VideoFrame | AudioFrame]:
        """Put a frame in, or None after the last, and yield what comes out."""
        self._source.push(frame)
        yield from pulled(self._sink)


def pulled(sink: FilterContext) -> Iterator[VideoFrame | AudioFrame]:
    """Yield what is ready at the end of some filters."""
    with suppress(NothingYetError, NothingMoreError):
        while True:
            yield cast(VideoFrame | AudioFrame, sink.pull())


def ssim(a: Image.Image, b: Image.Image) -> float:
    """Tell how alike two pictures of one size are, by structural similarity: 1.0 is identical.

    It is the worst of what ``ffmpeg -lavfi ssim`` calls Y, U and V: brightness and the two colours.
    """
    graph = Graph()
    measure, sink = graph.add("ssim"), graph.add("buffersink")
    frames = [VideoFrame.from_image(picture.convert("RGB")) for picture in (a, b)]  # type: ignore[no-untyped-call]
    sources = []
    for place, frame in enumerate(frames):
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
        )
        planes = graph.add("format", "yuv420p")
        source.link_to(planes)
        planes.link_to(measure, 0, place)
        sources.append(source)
    measure.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, frames, strict=True):
        frame.pts = 0
        source.push(frame)
        source.push(None)
    measured = next(pulled(sink)).metadata
    return min(float(measured[f"lavfi.ssim.{plane}"]) for plane in "YUV")
