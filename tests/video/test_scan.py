"""Scanning: stills, and black, frozen and silent intervals."""

import io
import math
from array import array
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import pytest
from PIL import Image

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video import scan
from prefect_seedance.video.findings import Interval, Scan
from prefect_seedance.video.probe import probe
from prefect_seedance.video.scan import Scanner
from prefect_seedance.video.similarity import similarity
from tests import films
from tests.films import RATE, Mark

_SECONDS = 4


def _video(
    draw: Callable[[int], Image.Image],
    *,
    loud: Callable[[float], bool] | None = None,
    size: tuple[int, int] = films.SIZE,
) -> bytes:
    """Encode four seconds, frame by frame."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        encoding = {"crf": "15", "preset": "ultrafast"}
        video = container.add_stream("libx264", rate=RATE, options=encoding)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="mono") if loud else None
        for index in range(_SECONDS * RATE):
            container.mux(video.encode(films.video_frame(draw(index))))
        container.mux(video.encode(None))
        if audio and loud:
            for start in range(0, _SECONDS * 8000, 400):
                frame = av.AudioFrame(format="fltp", layout="mono", samples=400)
                frame.sample_rate, frame.pts = 8000, start
                wave = (math.sin(k) if loud(k / 8000) else 0.0 for k in range(start, start + 400))
                frame.planes[0].update(array("f", wave).tobytes())
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return out.getvalue()


def _moving(index: int) -> Image.Image:
    return films.picture(Mark(1, index))


def _scanned(video: bytes, *, wants_ends: bool = False) -> Scan:
    scanner = Scanner(wants_ends=wants_ends)
    facts = probe(io.BytesIO(video), observer=scanner)
    return scanner.result(duration_seconds=facts.duration_seconds)


def _times(intervals: Sequence[Interval]) -> list[float]:
    """Return starts and ends, in turn."""
    return [time for each in intervals for time in (each.start_seconds, each.end_seconds)]


def test_lively_video_has_no_findings() -> None:
    """A video with motion and sound throughout has no findings."""
    found = _scanned(_video(_moving, loud=lambda _: True))

    assert (found.black, found.frozen, found.silent, found.has_sound) == ((), (), (), True)


def test_stills_are_first_middle_and_last() -> None:
    """The stills are the frames at the start, at half the duration and at the end."""
    found = _scanned(_video(_moving))

    stills = map(films.still, (found.start, found.middle, found.end))
    assert [films.read(still).frame for still in stills] == [0, 48, 95]


@pytest.mark.parametrize(
    ("size", "still"), [((1280, 720), (640, 360)), ((496, 864), (207, 360)), ((192, 96), (192, 96))]
)
def test_stills_are_small(size: tuple[int, int], still: tuple[int, int]) -> None:
    """A still has at most 360 lines, and is never larger than its video."""
    image = films.picture(Mark(1, 7), size=size)

    found = _scanned(_video(lambda _: image, size=size))

    start = films.still(found.start)
    assert start.size == pytest.approx(still, abs=1)
    assert similarity(start, image) > 0.9


def test_ends_are_exact() -> None:
    """The ends to compare are the first and the last frame, without the loss of a JPEG file."""
    video = _video(_moving)

    found = _scanned(video, wants_ends=True)

    frames = films.frames(video)
    for end, frame in zip(found.ends, (frames[0], frames[-1]), strict=True):
        assert similarity(end, frame) > 0.995


def test_failed_scan_leaves_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a filter fails, the video still has its facts, and the scan reports the error."""
    scanner = Scanner(wants_ends=False)
    monkeypatch.setattr(scan, "_VIDEO_FILTERS", (("nullsink", ""),))

    facts = probe(io.BytesIO(_video(_moving)), observer=scanner)

    assert facts.frames == _SECONDS * RATE
    with pytest.raises(Exception):  # noqa: B017, PT011 -- FFmpeg's own
        scanner.result(duration_seconds=_SECONDS)


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 24), (30, 60), (80, 96)], ids=["at-start", "in-between", "at-end"]
)
def test_black_is_found(begin: int, end: int) -> None:
    """Black frames are found anywhere, with their start and end."""
    black = Image.new("RGB", films.SIZE)

    found = _scanned(_video(lambda index: black if begin <= index < end else _moving(index)))

    assert _times(found.black) == pytest.approx([begin / RATE, end / RATE], abs=0.1)


def test_freezes_are_found() -> None:
    """Every freeze is found."""
    found = _scanned(_video(lambda index: _moving(10 if index < 24 else 90 if index >= 72 else index)))

    assert _times(found.frozen) == pytest.approx([0.0, 1.0, 3.0, 4.0], abs=0.1)
    assert found.black == ()


def test_silence_is_found() -> None:
    """Silence in a sound track is found."""
    found = _scanned(_video(_moving, loud=lambda seconds: not 1 <= seconds < 2.5))

    assert _times(found.silent) == pytest.approx([1.0, 2.5], abs=0.1)


def test_no_sound_track_is_not_silence() -> None:
    """A video without a sound track has no silent intervals."""
    found = _scanned(_video(_moving))

    assert (found.silent, found.has_sound) == ((), False)


def test_damaged_video_is_refused() -> None:
    """A video that cannot be decoded is refused."""
    with pytest.raises(IntegrityError):
        _scanned(_video(_moving)[:2000])


def test_stills_have_square_pixels() -> None:
    """A still has the shape in which players show the video."""
    video = films.clip(1, size=(240, 180), pixel_ratio=Fraction(4, 3), frames=2, sound=False)

    assert Image.open(io.BytesIO(_scanned(video).start)).size == (320, 180)
