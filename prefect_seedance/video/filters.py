"""Run frames through FFmpeg's filters."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeAlias, cast

from av import AudioFrame, AudioStream, VideoFrame, VideoStream
from av.error import BlockingIOError as NothingYetError
from av.error import EOFError as NothingMoreError
from av.filter import Graph
from av.filter.context import FilterContext

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
