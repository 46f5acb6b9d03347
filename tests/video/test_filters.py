"""Filter chains and graphs of FFmpeg."""

import io

import av
from av import AudioFrame, VideoFrame
from av.filter import Graph

from prefect_seedance.video.filters import FilterChain, pull_frames
from tests import films
from tests.films import Mark


def test_video_chain() -> None:
    """Each filter gets the frames of the one before; all frames arrive, in order."""
    with av.open(io.BytesIO(films.clip(1, frames=5)), "r") as container:
        stream = container.streams.video[0]
        chain = FilterChain(stream, ("scale", "96:96"), ("pad", "192:96:-1:-1"))
        filtered = [out for frame in container.decode(stream) for out in chain.push(frame)]
        filtered += chain.push(None)

    frames = [frame for frame in filtered if isinstance(frame, VideoFrame)]
    images = [films.decoded_image(frame) for frame in frames]
    assert [image.size for image in images] == [(192, 96)] * 5
    assert [films.read(image.crop((48, 0, 144, 96))) for image in images] == [
        Mark(1, index) for index in range(5)
    ]


def test_delayed_frames_are_flushed() -> None:
    """Frames that a filter holds back are yielded after the last one."""
    with av.open(io.BytesIO(films.clip(1, frames=5)), "r") as container:
        stream = container.streams.video[0]
        chain = FilterChain(stream, ("reverse", ""))
        early = [out for frame in container.decode(stream) for out in chain.push(frame)]
        late = list(chain.push(None))

    assert early == []
    assert [
        films.read(films.decoded_image(frame)).frame for frame in late if isinstance(frame, VideoFrame)
    ] == [4, 3, 2, 1, 0]


def test_audio_chain() -> None:
    """Sound is filtered as well."""
    with av.open(io.BytesIO(films.clip(1)), "r") as container:
        stream = container.streams.audio[0]
        chain = FilterChain(stream, ("aresample", "8000"), ("aformat", "channel_layouts=mono"))
        filtered = [out for frame in container.decode(stream) for out in chain.push(frame)]
        filtered += chain.push(None)

    frames = [frame for frame in filtered if isinstance(frame, AudioFrame)]
    assert {(frame.sample_rate, frame.layout.name) for frame in frames} == {(8000, "mono")}
    assert abs(sum(frame.samples for frame in frames) - 8000) < 200


def test_pull_ends_with_the_stream() -> None:
    """All frames of a source are pulled, and then none."""
    graph = Graph()
    sink = graph.add("buffersink")
    graph.link_nodes(graph.add("color", "size=64x36:rate=24:duration=0.5"), sink).configure()

    frames = list(pull_frames(sink))

    assert len(frames) == 12
    assert list(pull_frames(sink)) == []
