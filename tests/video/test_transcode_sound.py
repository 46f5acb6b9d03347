"""The sound track of a transcoded video: lengths, gaps and crossfades."""

import io
import math
from array import array
from collections.abc import Iterator, Sequence

import av
import pytest
from av.filter import Graph

from prefect_seedance.video.filters import pull_frames
from prefect_seedance.video.transcode_sound import SAMPLE_RATE, SoundTrack
from tests import films

_SECOND = SAMPLE_RATE


def _tone(hertz: int, *, seconds: float = 1.0) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Yield a tone in the format of the track."""
    graph = Graph()
    sink = graph.add("abuffersink")
    graph.link_nodes(
        graph.add("sine", f"frequency={hertz}:sample_rate={SAMPLE_RATE}:duration={seconds}"),
        graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        sink,
    ).configure()
    yield from pull_frames(sink)


def _joined(*clips: tuple[int, float], crossfade_seconds: float = 0.0, skip: int = 0) -> "array[float]":
    """Join tones, each with a frequency and a duration in seconds, and return the decoded samples."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        track = SoundTrack(out, crossfade_seconds=crossfade_seconds)
        for hertz, seconds in clips:
            track.add(_tone(hertz, seconds=seconds))
            track.end_clip(skip=skip, samples=round(seconds * _SECOND) - skip)
        track.finish()
    return _samples(file)


def _samples(file: io.BytesIO) -> "array[float]":
    """Decode the first channel."""
    file.seek(0)
    samples = array("f")
    with av.open(file, "r") as container:
        for frame in container.decode(audio=0):
            samples.extend(array("f", bytes(frame.planes[0]))[: frame.samples])
    return samples


def _loudness(samples: Sequence[float], *, at: float, hertz: int) -> float:
    """Measure one frequency in 40 ms of sound, by Goertzel's formula."""
    begin, count = round(at * _SECOND), 1920
    real = sum(samples[begin + k] * math.cos(2 * math.pi * hertz * k / _SECOND) for k in range(count))
    imaginary = sum(samples[begin + k] * math.sin(2 * math.pi * hertz * k / _SECOND) for k in range(count))
    return math.hypot(real, imaginary) / count


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_crossfade_overlaps_at_cut(seconds: float) -> None:
    """With a crossfade, both sounds overlap around the cut, and only there; no sound moves."""
    samples = _joined((400, 1.0), (3000, 1.0), crossfade_seconds=seconds)

    assert len(samples) / _SECOND == pytest.approx(2.0, abs=0.022)
    overlap = _loudness(samples, at=0.93, hertz=3000) / _loudness(samples, at=1.5, hertz=3000)
    assert overlap > 0.1 if seconds else overlap < 0.02
    assert _loudness(samples, at=0.8, hertz=3000) < 0.02 * _loudness(samples, at=1.5, hertz=3000)
    assert _loudness(samples, at=1.2, hertz=400) < 0.02 * _loudness(samples, at=0.5, hertz=400)


def test_short_clip_is_not_faded() -> None:
    """A clip shorter than the crossfade keeps its sound, and later sound does not move."""
    samples = _joined((400, 1.0), (3000, 0.125), (400, 1.0), crossfade_seconds=0.5)

    assert len(samples) / _SECOND == pytest.approx(2.125, abs=0.022)
    assert _loudness(samples, at=1.04, hertz=3000) > 0.5 * _loudness(samples, at=0.5, hertz=400)
    assert _loudness(samples, at=0.95, hertz=3000) < 0.02 * _loudness(samples, at=1.04, hertz=3000)


def test_skipped_samples_are_dropped() -> None:
    """Samples to skip are dropped at the start of each clip."""
    samples = _joined((400, 1.0), (3000, 1.0), skip=_SECOND // 4)

    assert len(samples) / _SECOND == pytest.approx(1.5, abs=0.022)
    assert _loudness(samples, at=0.68, hertz=400) > 10 * _loudness(samples, at=0.68, hertz=3000)
    assert _loudness(samples, at=0.78, hertz=3000) > 10 * _loudness(samples, at=0.78, hertz=400)


def test_missing_sound_is_silent() -> None:
    """A clip whose sound is too short, or missing, is filled with silence."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        track = SoundTrack(out, crossfade_seconds=0)
        track.add(_tone(400, seconds=0.5))
        track.end_clip(skip=0, samples=_SECOND)
        track.end_clip(skip=0, samples=_SECOND)
        track.finish()

    samples = _samples(file)

    assert len(samples) / _SECOND == pytest.approx(2.0, abs=0.022)
    assert _loudness(samples, at=0.4, hertz=400) > 0.01
    assert max(map(abs, samples[round(0.55 * _SECOND) :])) < 0.001


def test_resampler_converts_any_sound() -> None:
    """Sound of any format becomes stereo at 48 kHz."""
    with (
        av.open(io.BytesIO(films.clip(1, layout="mono")), "r") as container,
        av.open(io.BytesIO(), "w", format="mp4") as out,
    ):
        stream = container.streams.audio[0]
        chain = SoundTrack(out, crossfade_seconds=0).resampler(stream)
        converted = [each for frame in container.decode(stream) for each in chain.push(frame)]

    frames = [frame for frame in converted if isinstance(frame, av.AudioFrame)]
    assert {(frame.sample_rate, frame.layout.name, frame.format.name) for frame in frames} == {
        (SAMPLE_RATE, "stereo", "fltp")
    }
