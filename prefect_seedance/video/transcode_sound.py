"""The sound track of a transcoded video."""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

from av import AudioFifo, AudioFrame, AudioStream, VideoFrame
from av.container import OutputContainer
from av.filter import Graph

from prefect_seedance.video.filters import FilterChain, pull_frames
from prefect_seedance.video.silence import SAMPLE_FORMAT, silent_frame

SAMPLE_RATE = 48_000

_LAYOUT = "stereo"

_BIT_RATE = 192_000

_RESAMPLING = (
    ("aresample", f"{SAMPLE_RATE}:async=1:first_pts=0"),
    ("aformat", f"sample_fmts={SAMPLE_FORMAT}:channel_layouts={_LAYOUT}"),
)
"""One sample rate, with silence where a clip's sound has gaps."""


class SoundTrack:
    """The sound track of a transcoded video; its clock counts samples.

    It takes the sound of one clip after another, of any length, and writes exactly as much as the clip has
    frames.
    """

    def __init__(self, out: OutputContainer, *, crossfade_seconds: float) -> None:
        self._out = out
        self._stream = out.add_stream("aac", rate=SAMPLE_RATE, layout=_LAYOUT)
        self._stream.codec_context.bit_rate = _BIT_RATE
        self._count = 0
        self._half = round(crossfade_seconds * SAMPLE_RATE / 2)
        self._clip = AudioFifo()
        self._tail: AudioFrame | None = None

    def resampler(self, audio: AudioStream) -> FilterChain:
        """Return the filters that convert a clip's sound to this track."""
        return FilterChain(audio, *_RESAMPLING)

    def add(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        """Add resampled sound of the current clip."""
        for frame in cast(Iterator[AudioFrame], frames):
            frame.pts = None
            self._clip.write(frame)

    def end_clip(self, *, skip: int, samples: int) -> None:
        """End the current clip.

        Args:
            skip: Samples to leave out at its start.
            samples: Samples to write: as long as the clip's frames.
        """
        missing = skip + samples - self._clip.samples
        if missing > 0:
            self._clip.write(silent_frame(missing, rate=SAMPLE_RATE, layout=_LAYOUT))
        if skip:
            self._take(skip)
        half = self._half if samples > 2 * self._half else 0
        if self._tail:
            if half:
                samples -= half
                for frame in _crossfaded(self._tail, self._take(half)):
                    self._write(frame)
            else:
                self._write(self._tail)
        self._write(self._take(samples - half))
        self._tail = self._take(half) if half else None
        self._clip = AudioFifo()

    def finish(self) -> None:
        """Write the rest, and flush the encoder."""
        if self._tail:
            self._write(self._tail)
        self._out.mux(self._stream.encode(None))

    def _take(self, samples: int) -> AudioFrame:
        return cast(AudioFrame, self._clip.read(samples))

    def _write(self, frame: AudioFrame) -> None:
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = self._count
        self._count += frame.samples
        self._out.mux(self._stream.encode(frame))


def _crossfaded(tail: AudioFrame, head: AudioFrame) -> Iterator[AudioFrame]:
    """Fade from the end of one sound to the start of another, over the length of both."""
    graph = Graph()
    sink, fade = graph.add("abuffersink"), graph.add("acrossfade", f"ns={2 * tail.samples}:c1=qsin:c2=qsin")
    fade.link_to(sink)
    sources = []
    for index, is_tail in enumerate((True, False)):
        source = graph.add_abuffer(
            sample_rate=SAMPLE_RATE, format=SAMPLE_FORMAT, layout=_LAYOUT, time_base=Fraction(1, SAMPLE_RATE)
        )
        split, back, both = graph.add("asplit"), graph.add("areverse"), graph.add("concat", "n=2:v=0:a=1")
        source.link_to(split)
        split.link_to(back, 0)
        back.link_to(both, 0, 1 if is_tail else 0)
        split.link_to(both, 1, 0 if is_tail else 1)
        both.link_to(fade, 0, index)
        sources.append(source)
    graph.configure()
    for source, frame in zip(sources, (tail, head), strict=True):
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        source.push(frame)
        source.push(None)
    yield from cast(Iterator[AudioFrame], pull_frames(sink))
