"""One look at a video: its first, middle and last picture, and what is black, frozen or silent in it."""

import io
import math
from array import array
from collections.abc import Callable

import av
import pytest
from PIL import Image

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.scan import Interval, Scan, scan
from prefect_seedance.video.similarity import similarity
from tests import films
from tests.films import RATE, Mark

_SECONDS = 4


def _video(
    paint: Callable[[int], Image.Image],
    *,
    loud: Callable[[float], bool] | None = None,
    size: tuple[int, int] = films.SIZE,
) -> bytes:
    """Encode four seconds, picture by picture."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "15", "preset": "ultrafast"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="mono") if loud else None
        for place in range(_SECONDS * RATE):
            container.mux(video.encode(av.VideoFrame.from_image(paint(place))))
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


def _moving(place: int) -> Image.Image:
    return films.picture(Mark(1, place))


def _scaned(video: bytes) -> Scan:
    return scan(io.BytesIO(video), duration_seconds=_SECONDS)


def _nearly(*stretches: tuple[float, float]) -> list[Interval]:
    return [
        Interval.model_construct(
            start_seconds=pytest.approx(start, abs=0.1), end_seconds=pytest.approx(end, abs=0.1)
        )
        for start, end in stretches
    ]


def test_lively_video_has_no_findings() -> None:
    """Of a video that moves and sounds throughout, nothing is said."""
    sight = _scaned(_video(_moving, loud=lambda _: True))

    assert (sight.black, sight.frozen, sight.silent, sight.has_sound) == ((), (), (), True)


def test_stills_are_first_middle_and_last() -> None:
    """The stills are the frames at the beginning, at half the time, and at the end."""
    sight = _scaned(_video(_moving))

    assert [films.read(still).frame for still in (sight.start, sight.middle, sight.end)] == [0, 48, 95]


@pytest.mark.parametrize(
    ("size", "still"), [((1280, 720), (640, 360)), ((496, 864), (207, 360)), ((192, 96), (192, 96))]
)
def test_stills_are_small(size: tuple[int, int], still: tuple[int, int]) -> None:
    """No still has more than 360 lines, and none is larger than its video."""
    meant = films.picture(Mark(1, 7), size=size)

    sight = _scaned(_video(lambda _: meant, size=size))

    assert sight.start.size == pytest.approx(still, abs=1)
    assert similarity(sight.start, meant) > 0.9


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 24), (30, 60), (80, 96)], ids=["at-start", "in-between", "at-end"]
)
def test_black_is_found(begin: int, end: int) -> None:
    """Black pictures are found wherever they are, with when they begin and end."""
    black = Image.new("RGB", films.SIZE)

    sight = _scaned(_video(lambda place: black if begin <= place < end else _moving(place)))

    assert list(sight.black) == _nearly((begin / RATE, end / RATE))


def test_frozen_picture_is_found() -> None:
    """A picture that stands still is found, even twice."""
    sight = _scaned(_video(lambda place: _moving(10 if place < 24 else 90 if place >= 72 else place)))

    assert list(sight.frozen) == _nearly((0.0, 1.0), (3.0, 4.0))
    assert sight.black == ()


def test_silence_is_found() -> None:
    """Silence is found where there is a sound track."""
    sight = _scaned(_video(_moving, loud=lambda seconds: not 1 <= seconds < 2.5))

    assert list(sight.silent) == _nearly((1.0, 2.5))


def test_no_sound_track_is_not_silence() -> None:
    """A video without sound says that, instead of being silent throughout."""
    sight = _scaned(_video(_moving))

    assert (sight.silent, sight.has_sound) == ((), False)


def test_broken_video_is_refused() -> None:
    """What cannot be decoded is an error, not a video without pictures."""
    with pytest.raises(IntegrityError):
        _scaned(_video(_moving)[:2000])
