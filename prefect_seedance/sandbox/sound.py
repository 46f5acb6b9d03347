"""The soundtrack of videos: a soft chord."""

import functools
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.audio.frame import AudioFrame

_SAMPLE_RATE = 48_000

_CHORDS = (
    (220.00, 277.18, 329.63),
    (196.00, 246.94, 293.66),
    (174.61, 220.00, 261.63),
    (164.81, 196.00, 246.94),
)
"""In hertz: A major, G major, F major, E minor."""


@functools.cache
def chord(number: int, *, seconds: int) -> bytes:
    """Return an MP4 with one AAC track; cached, because encoding takes longer than a short video."""
    track = io.BytesIO()
    with av.open(track, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo")
        for tone in _tones(_CHORDS[number % len(_CHORDS)], seconds=seconds):
            container.mux(stream.encode(tone))
        container.mux(stream.encode(None))
    return track.getvalue()


def _tones(notes: tuple[float, ...], *, seconds: int) -> Iterator[AudioFrame]:
    left = "+".join(f"0.1*sin(2*PI*{note}*t)" for note in notes)
    right = "+".join(f"0.1*sin(2*PI*{note}*t+1)" for note in notes)
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add("aevalsrc", f"exprs={left}|{right}:s={_SAMPLE_RATE}:d={seconds}"),
        graph.add("afade", "t=in:d=0.5"),
        graph.add("afade", f"t=out:st={seconds - 1}:d=1"),
        graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        graph.add("abuffersink"),
    ).configure()
    position = 0
    while position < seconds * _SAMPLE_RATE:
        frame = cast("AudioFrame", graph.pull())
        frame.pts, frame.time_base = position, Fraction(1, _SAMPLE_RATE)
        position += frame.samples
        yield frame
