"""Run frames through FFmpeg's filters."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeAlias, cast

from av import AudioFrame, AudioStream, VideoFrame, VideoStream
from av.error import BlockingIOError as NotReadyError
from av.error import EOFError as EndOfStreamError
from av.filter import Graph
from av.filter.context import FilterContext

Filter: TypeAlias = tuple[str, str]
"""A filter's name and its options, as in FFmpeg's documentation."""


class FilterChain:
    """A chain of filters for the frames of one stream."""

    def __init__(self, stream: VideoStream | AudioStream, *filters: Filter, batch: int = 1) -> None:
        """Prepare the filters.

        Args:
            stream: Of the frames.
            filters: In order.
            batch: Frames to push before the ready ones are pulled; to find that none is left is slow.
        """
        self._batch, self._pushed = batch, 0
        graph = Graph()
        is_video = isinstance(stream, VideoStream)
        self._source = (graph.add_buffer if is_video else graph.add_abuffer)(template=stream)  # type: ignore[arg-type]  # of one kind each
        self._sink = graph.add("buffersink" if is_video else "abuffersink")
        chain = [graph.add(name, options) for name, options in filters]
        graph.link_nodes(self._source, *chain, self._sink)
        graph.configure()
        self._graph = graph  # or it would be freed

    def push(self, frame: VideoFrame | AudioFrame | None) -> Iterator[VideoFrame | AudioFrame]:
        """Filter a frame, or None after the last one, and yield the frames that are ready."""
        self._source.push(frame)
        self._pushed += 1
        if frame is None or self._pushed % self._batch == 0:
            yield from pull_frames(self._sink)


def pull_frames(sink: FilterContext) -> Iterator[VideoFrame | AudioFrame]:
    """Yield the frames that are ready at the sink of a filter graph."""
    with suppress(NotReadyError, EndOfStreamError):
        while True:
            yield cast(VideoFrame | AudioFrame, sink.pull())
