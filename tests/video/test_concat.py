"""Films of clips that stay as they are: every frame, in order, with the sound in step."""

import io
from collections.abc import Sequence
from itertools import pairwise

import av
import pytest

from prefect_seedance.errors import ArchiveError, IntegrityError
from prefect_seedance.video.concat import Concatenation, FormatMismatchError, index_bytes
from prefect_seedance.video.probe import Segment
from tests import films
from tests.films import BEEP_AT, RATE, Mark

_HALF_A_PACKET = 512 / films.SAMPLES


def _spliced(*clips: bytes, model: bytes = b"", out: io.BytesIO | None = None) -> tuple[bytes, list[Segment]]:
    out = out or io.BytesIO()
    room = index_bytes(frames=48 * len(clips), sound_packets=100 * len(clips))
    with Concatenation(out, model=io.BytesIO(model or clips[0]), index_bytes=room) as splice:
        places = [splice.add(io.BytesIO(clip)) for clip in clips]
        splice.finish()
    return out.getvalue(), places


def _packets(video: bytes, *, kind: str = "video") -> list[bytes]:
    with av.open(io.BytesIO(video)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Three of unequal length, none of which is a whole number of sound packets long."""
    return [films.clip(number, frames=frames) for number, frames in ((1, 24), (2, 25), (3, 31))]


def test_frames_follow_each_other(clips: Sequence[bytes]) -> None:
    """Every frame is there once, in order, without a gap, and as it was encoded."""
    film, places = _spliced(*clips)

    seen = films.seen(film)
    assert seen.marks == [
        Mark(clip, frame) for clip, frames in ((1, 24), (2, 25), (3, 31)) for frame in range(frames)
    ]
    assert seen.times == pytest.approx([frame / RATE for frame in range(80)], abs=1e-5)
    assert places == [
        pytest.approx(Segment(0.0, 1.0)),
        pytest.approx(Segment(1.0, 25 / 24)),
        pytest.approx(Segment(49 / 24, 31 / 24)),
    ]
    assert _packets(film) == [packet for clip in clips for packet in _packets(clip)]


def test_sound_keeps_step_for_100_clips(clips: Sequence[bytes]) -> None:
    """At the end of a hundred clips, sound is as much in step as at the first: within half a packet."""
    film, places = _spliced(*(clips * 34)[:100])

    beeps = films.seen(film).beeps
    assert len(beeps) == 100
    drifts = [beep - place.start_seconds - BEEP_AT for beep, place in zip(beeps, places, strict=True)]
    assert max(map(abs, drifts)) < _HALF_A_PACKET + 0.001
    assert abs(drifts[-1]) < 1 / RATE


def test_sound_begins_with_its_first_packet(clips: Sequence[bytes]) -> None:
    """At a cut the end of the old sound gives way, so that the new one is decoded from its beginning."""
    film, _ = _spliced(*clips)

    heard = _packets(film, kind="audio")
    begins = {_packets(clip, kind="audio")[0] for clip in clips}
    assert sum(packet in begins for packet in heard) == len(clips)


def test_longer_sound_is_cut(clips: Sequence[bytes]) -> None:
    """Sound that goes on when the pictures have ended takes nothing of the next clip's."""
    film, places = _spliced(films.clip(1, longer_seconds=0.3), *clips[1:])

    expected = [place.start_seconds + BEEP_AT for place in places]
    assert films.seen(film).beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)
    first = _packets(clips[1], kind="audio")[1]
    assert first in _packets(film, kind="audio")
    assert places[1].start_seconds == pytest.approx(1.0)


def test_sound_before_pictures_is_left_out(clips: Sequence[bytes]) -> None:
    """Sound that begins before its pictures starts with them, in step."""
    film, places = _spliced(clips[0], films.clip(2, later_seconds=0.25), clips[2])

    beeps = films.seen(film).beeps
    expected = [place.start_seconds + BEEP_AT for place in places]
    expected[1] -= 0.25
    assert beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)


def test_sound_has_no_holes(clips: Sequence[bytes]) -> None:
    """The packets of sound follow each other directly, so that no player has anything to mend."""
    film, places = _spliced(*clips, *clips)

    with av.open(io.BytesIO(film)) as container:
        moments = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert {later - earlier for earlier, later in pairwise(moments)} == {1024}
    ends = places[-1].start_seconds + places[-1].duration_seconds
    assert films.seen(film).sound_seconds == pytest.approx(ends, abs=1024 / films.SAMPLES)


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_clip_without_sound(clips: Sequence[bytes], silent: int) -> None:
    """A clip without sound among others is silent, wherever it is, and nothing after it moves."""
    parts = list(clips)
    parts[silent] = films.clip(silent + 1, frames=26, sound=False)

    film, places = _spliced(*parts, model=clips[silent - 1])

    seen = films.seen(film)
    expected = [place.start_seconds + BEEP_AT for at, place in enumerate(places) if at != silent]
    assert seen.beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)
    assert [mark.frame for mark in seen.marks if mark.clip == silent + 1] == list(range(26))


def test_silent_clips_make_a_silent_film() -> None:
    """Where no clip has sound, the film has no sound track."""
    film, _ = _spliced(*(films.clip(number, sound=False) for number in (1, 2)))

    with av.open(io.BytesIO(film)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_index_comes_first(clips: Sequence[bytes]) -> None:
    """A film plays while it loads, because its index lies before its pictures."""
    film, _ = _spliced(*clips)

    assert [box for box in films.boxes(film) if box != "free"] == ["ftyp", "moov", "mdat"]


def test_one_clip_is_a_film(clips: Sequence[bytes]) -> None:
    """A film of one clip shows just that."""
    film, _ = _spliced(clips[1])

    assert films.seen(film).marks == films.seen(clips[1]).marks
    assert films.seen(film).beeps == pytest.approx([BEEP_AT], abs=0.001)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        pytest.param({"size": (96, 96)}, "size", id="size"),
        pytest.param({"rate": 25}, "frame rate", id="rate"),
        pytest.param({"layout": "mono"}, "sound", id="channels"),
        pytest.param({"container": "webm", "codec": "libvpx-vp9"}, "codec", id="codec"),
    ],
)
def test_unlike_clips_are_refused(clips: Sequence[bytes], other: dict[str, object], differs: str) -> None:
    """What is encoded otherwise is not put behind the rest as if it were alike, and it is said why."""
    with pytest.raises(FormatMismatchError, match=differs):
        _spliced(clips[0], films.clip(2, **other))


def test_damaged_clip_is_refused(clips: Sequence[bytes]) -> None:
    """A clip that ends early is none, and what was added before it stays."""
    out = io.BytesIO()
    with Concatenation(out, model=io.BytesIO(clips[0]), index_bytes=100_000) as splice:
        splice.add(io.BytesIO(clips[0]))
        with pytest.raises(IntegrityError):
            splice.add(io.BytesIO(clips[1][:-500]))
        splice.add(io.BytesIO(clips[2]))
        splice.finish()

    assert {mark.clip for mark in films.seen(out.getvalue()).marks} == {1, 3}


class _FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise ArchiveError("no room")


def test_trouble_of_the_film_is_not_the_clips(clips: Sequence[bytes]) -> None:
    """A film that cannot be written is not mistaken for a clip that cannot be read."""
    with pytest.raises(ArchiveError, match="no room") as caught:
        _spliced(*clips, *clips, out=_FullDisk())

    assert not isinstance(caught.value, IntegrityError)
