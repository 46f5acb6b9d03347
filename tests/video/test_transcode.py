"""Transcoding: one format, no repeated frame at a cut, and sound in sync."""

import io
from collections.abc import Sequence
from fractions import Fraction

import pytest
from PIL import Image, ImageFilter

from prefect_seedance.video.concat import index_bytes
from prefect_seedance.video.probe import Segment, probe
from prefect_seedance.video.transcode import Transcoder
from tests import films
from tests.films import BEEP_AT, RATE, Mark


def _transcoded(
    *clips: bytes, sound: bool = True, crossfade_seconds: float = 0.0, still_seconds: float = 0.0
) -> tuple[bytes, list[Segment]]:
    out = io.BytesIO()
    room = index_bytes(frames=60 * len(clips), sound_packets=100 * len(clips))
    with Transcoder(
        out, model=io.BytesIO(clips[0]), sound=sound, crossfade_seconds=crossfade_seconds, index_bytes=room
    ) as film:
        segments = [film.add(io.BytesIO(clip)) for clip in clips]
        if still_seconds:
            segments.append(film.add_still(Image.new("RGB", film.size, "red"), seconds=still_seconds))
            segments.append(film.add(io.BytesIO(clips[0])))
        film.finish()
    return out.getvalue(), segments


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Return three clips, each of which starts with the last frame of the one before."""
    ends = [films.picture(Mark(number, 23)) for number in (1, 2)]
    return [
        films.clip(1, frames=24),
        films.clip(2, frames=24, first=ends[0]),
        films.clip(3, frames=24, first=ends[1]),
    ]


def test_repeated_frame_is_dropped(clips: Sequence[bytes]) -> None:
    """A frame that is repeated at a cut is dropped once, and all others stay."""
    film, segments = _transcoded(*clips)

    seen = films.seen(film)
    assert seen.marks == [Mark(1, frame) for frame in range(24)] + [
        Mark(clip, frame) for clip in (2, 3) for frame in range(1, 24)
    ]
    assert seen.times == pytest.approx([frame / RATE for frame in range(70)], abs=1e-5)
    assert [segment.dropped_frames for segment in segments] == [0, 1, 1]
    assert segments[-1] == pytest.approx(Segment(47 / 24, 23 / 24, 1))


def test_other_first_frame_stays() -> None:
    """Where the frames at a cut differ, none is dropped."""
    film, segments = _transcoded(films.clip(1), films.clip(2))

    assert len(films.seen(film).marks) == 48
    assert [segment.dropped_frames for segment in segments] == [0, 0]


@pytest.mark.parametrize(
    ("blur", "dropped"), [pytest.param(1.2, 1, id="above-threshold"), pytest.param(1.5, 0, id="below")]
)
def test_similar_frame_is_dropped(blur: float, dropped: int) -> None:
    """A first frame is dropped from a similarity of 0.92 on; those of this test have 0.936 and 0.918."""
    blurred = films.picture(Mark(1, 23)).filter(ImageFilter.GaussianBlur(blur))

    _, segments = _transcoded(films.clip(1), films.clip(2, first=blurred))

    assert segments[1].dropped_frames == dropped


def test_clip_of_one_frame_stays(clips: Sequence[bytes]) -> None:
    """A clip of one repeated frame keeps it."""
    _, segments = _transcoded(
        clips[0], films.clip(2, frames=1, first=films.picture(Mark(1, 23)), sound=False)
    )

    assert segments[1] == pytest.approx(Segment(1.0, 1 / 24, 0))


def test_sound_stays_in_sync(clips: Sequence[bytes]) -> None:
    """With each dropped frame, its sound is dropped, so that the sound stays in sync."""
    film, segments = _transcoded(*list(clips) * 7)

    beeps = films.seen(film).beeps
    expected = [segment.start_seconds + BEEP_AT - segment.dropped_frames / RATE for segment in segments]
    assert beeps == pytest.approx(expected, abs=0.001)


def test_formats_become_one() -> None:
    """Clips of any size, frame rate, channels, codec and container get the format of the model."""
    parts = [
        films.clip(1),
        films.clip(2, size=(96, 96)),
        films.clip(3, rate=30, frames=30),
        films.clip(4, layout="mono"),
        films.clip(5, container="webm", codec="libvpx-vp9"),
        films.clip(6, sound=False),
    ]

    film, segments = _transcoded(*parts)

    facts = probe(io.BytesIO(film))
    assert (facts.width, facts.height, facts.frame_rate, facts.frames) == (*films.SIZE, 24.0, 144)
    assert (facts.audio_codec, facts.audio_sample_rate) == ("aac", 48_000)
    seen = films.seen(film)
    assert [seen.marks[24 * place].clip for place in (0, 2, 3, 4, 5)] == [1, 3, 4, 5, 6]
    assert seen.beeps == pytest.approx([place + BEEP_AT for place in range(5)], abs=0.003)
    assert segments[-1] == pytest.approx(Segment(5.0, 1.0))


def test_other_shape_gets_bars() -> None:
    """A square clip in a wide film is neither stretched nor cropped, but padded with black bars."""
    film, _ = _transcoded(films.clip(1), films.clip(2, size=(96, 96)))

    last = films.frames(film)[-1]
    assert last.getpixel((10, 80)) == pytest.approx((0, 0, 0), abs=12)
    assert films.read(last.crop((48, 0, 144, 96))) == Mark(2, 23)


def test_still_is_silent(clips: Sequence[bytes]) -> None:
    """A still has the requested length and no sound, and the next clip keeps all frames."""
    film, segments = _transcoded(clips[0], still_seconds=2.0)

    assert segments[1:] == [pytest.approx(Segment(1.0, 2.0)), pytest.approx(Segment(3.0, 1.0))]
    assert len(films.seen(film).marks) == 96
    assert films.seen(film).beeps == pytest.approx([BEEP_AT, 3 + BEEP_AT], abs=0.001)


def test_crossfade_keeps_segments() -> None:
    """A crossfade moves neither frames nor sound."""
    film, segments = _transcoded(films.clip(1), films.clip(2, frames=3), films.clip(3), crossfade_seconds=0.5)

    assert segments[2] == pytest.approx(Segment(1.125, 1.0))
    assert films.seen(film).beeps == pytest.approx([BEEP_AT, 1.125 + BEEP_AT], abs=0.002)


def test_times_decide_not_counts() -> None:
    """A clip whose frame rate varies, and is the film's on average, keeps its frames at their times."""
    times = [*(frame / 12 for frame in range(12)), *(1 + frame / 36 for frame in range(36))]
    varying = films.clip(1, times=times, sound=False)

    film, _ = _transcoded(varying, films.clip(2), sound=False)

    seen = films.seen(film)
    second = [mark for mark, time in zip(seen.marks, seen.times, strict=True) if 1 <= time < 1.04]
    assert second[0].clip == 1
    assert second[0].frame in {12, 13}
    assert seen.times[seen.marks.index(Mark(2, 0))] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("is_model", [True, False], ids=["of the model", "of another clip"])
def test_pixels_need_not_be_square(is_model: bool) -> None:  # noqa: FBT001 -- a column
    """A clip is shown in its own shape, also if its pixels are wide."""
    wide, high = films.SIZE
    narrow = films.clip(1, size=(wide * 3 // 4, high), pixel_ratio=Fraction(4, 3))
    square = films.clip(2)

    film, _ = _transcoded(*((narrow, square) if is_model else (square, narrow)))

    facts = probe(io.BytesIO(film))
    assert (facts.width, facts.height) == films.SIZE
    marks = films.seen(film).marks
    assert {mark.clip for mark in marks} == {1, 2}
    assert len(marks) == 48
