"""Concatenation: every frame, in order, with the sound in sync."""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import av
import pytest

from prefect_seedance.errors import ArchiveError, IntegrityError
from prefect_seedance.video.concat import Concatenation, FormatMismatchError, index_bytes
from prefect_seedance.video.probe import Segment
from tests import films
from tests.films import BEEP_AT, RATE, Mark

_HALF_A_PACKET = 512 / films.SAMPLES


def _concatenated(
    *clips: bytes, model: bytes = b"", out: io.BytesIO | None = None
) -> tuple[bytes, list[Segment]]:
    out = out or io.BytesIO()
    room = index_bytes(frames=48 * len(clips), sound_packets=100 * len(clips))
    with Concatenation(out, model=io.BytesIO(model or clips[0]), index_bytes=room) as splice:
        segments = [splice.add(io.BytesIO(clip)) for clip in clips]
        splice.finish()
    return out.getvalue(), segments


def _packets(video: bytes, *, kind: Literal["video", "audio"] = "video") -> list[bytes]:
    return [bytes(packet) for packet in films.packets(video, kind=kind)]


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Return three clips of different lengths, none a whole number of sound packets."""
    return [films.clip(number, frames=frames) for number, frames in ((1, 24), (2, 25), (3, 31))]


def test_frames_follow_each_other(clips: Sequence[bytes]) -> None:
    """Every frame appears once, in order, without a gap, and is not re-encoded."""
    film, segments = _concatenated(*clips)

    seen = films.seen(film)
    assert seen.marks == [
        Mark(clip, frame) for clip, frames in ((1, 24), (2, 25), (3, 31)) for frame in range(frames)
    ]
    assert seen.times == pytest.approx([frame / RATE for frame in range(80)], abs=1e-5)
    assert segments == [
        pytest.approx(Segment(0.0, 1.0)),
        pytest.approx(Segment(1.0, 25 / 24)),
        pytest.approx(Segment(49 / 24, 31 / 24)),
    ]
    assert _packets(film) == [packet for clip in clips for packet in _packets(clip)]


def test_sound_stays_in_sync(clips: Sequence[bytes]) -> None:
    """After a hundred clips, the sound is in sync within half a packet, as in the first clip."""
    film, segments = _concatenated(*(list(clips) * 34)[:100])

    beeps = films.seen(film).beeps
    assert len(beeps) == 100
    drifts = [beep - segment.start_seconds - BEEP_AT for beep, segment in zip(beeps, segments, strict=True)]
    assert max(map(abs, drifts)) < _HALF_A_PACKET + 0.001
    assert abs(drifts[-1]) < 1 / RATE


def test_first_sound_packet_is_kept(clips: Sequence[bytes]) -> None:
    """The first packet of each clip's sound is kept, so that it is decoded from its start."""
    film, _ = _concatenated(*clips)

    packets = _packets(film, kind="audio")
    starts = {_packets(clip, kind="audio")[0] for clip in clips}
    assert sum(packet in starts for packet in packets) == len(clips)


def test_longer_sound_is_cut(clips: Sequence[bytes]) -> None:
    """Sound that is longer than its frames is cut, and the next clip's sound is complete."""
    film, segments = _concatenated(films.clip(1, longer_seconds=0.3), *clips[1:])

    expected = [segment.start_seconds + BEEP_AT for segment in segments]
    assert films.seen(film).beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)
    first = _packets(clips[1], kind="audio")[1]
    assert first in _packets(film, kind="audio")
    assert segments[1].start_seconds == pytest.approx(1.0)


def test_early_sound_is_dropped(clips: Sequence[bytes]) -> None:
    """Sound before the first frame is dropped, and the rest is in sync."""
    film, segments = _concatenated(clips[0], films.clip(2, later_seconds=0.25), clips[2])

    beeps = films.seen(film).beeps
    expected = [segment.start_seconds + BEEP_AT for segment in segments]
    expected[1] -= 0.25
    assert beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)


def test_sound_has_no_gaps(clips: Sequence[bytes]) -> None:
    """Packets of sound follow each other without a gap."""
    film, segments = _concatenated(*clips, *clips)

    times = [packet.pts or 0 for packet in films.packets(film, kind="audio")]
    assert {later - earlier for earlier, later in pairwise(times)} == {1024}
    ends = segments[-1].start_seconds + segments[-1].duration_seconds
    assert films.seen(film).sound_seconds == pytest.approx(ends, abs=1024 / films.SAMPLES)


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_clip_without_sound(clips: Sequence[bytes], silent: int) -> None:
    """A clip without sound among others is silent in any position, and later sound is in sync."""
    parts = list(clips)
    parts[silent] = films.clip(silent + 1, frames=26, sound=False)

    film, segments = _concatenated(*parts, model=clips[silent - 1])

    seen = films.seen(film)
    expected = [segment.start_seconds + BEEP_AT for index, segment in enumerate(segments) if index != silent]
    assert seen.beeps == pytest.approx(expected, abs=_HALF_A_PACKET + 0.001)
    assert [mark.frame for mark in seen.marks if mark.clip == silent + 1] == list(range(26))


def test_silent_clips_make_a_silent_film() -> None:
    """A film of clips without sound has no sound track."""
    film, _ = _concatenated(*(films.clip(number, sound=False) for number in (1, 2)))

    with av.open(io.BytesIO(film)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_index_comes_first(clips: Sequence[bytes]) -> None:
    """The index comes before the frames, so that a film can be played while it loads."""
    film, _ = _concatenated(*clips)

    assert [box for box in films.boxes(film) if box != "free"] == ["ftyp", "moov", "mdat"]


def test_one_clip_is_a_film(clips: Sequence[bytes]) -> None:
    """A film of one clip has the frames and the sound of the clip."""
    film, _ = _concatenated(clips[1])

    assert films.seen(film).marks == films.seen(clips[1]).marks
    assert films.seen(film).beeps == pytest.approx([BEEP_AT], abs=0.001)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        pytest.param({"size": (96, 96)}, "size", id="size"),
        pytest.param({"rate": 25}, "frame rate", id="rate"),
        pytest.param({"pixel_format": "yuv444p"}, "encoding", id="pixel format"),
        pytest.param({"matrix": 1}, "encoding", id="colours"),
        pytest.param({"layout": "mono"}, "sound", id="channels"),
        pytest.param({"container": "webm", "codec": "libvpx-vp9"}, "codec", id="codec"),
    ],
)
def test_other_format_is_refused(clips: Sequence[bytes], other: films.Options, differs: str) -> None:
    """A clip of another format is refused, with the reason."""
    with pytest.raises(FormatMismatchError, match=differs):
        _concatenated(clips[0], films.clip(2, **other))


def test_damaged_clip_is_refused(clips: Sequence[bytes]) -> None:
    """A truncated clip is refused, and clips before and after it are joined."""
    out = io.BytesIO()
    with Concatenation(out, model=io.BytesIO(clips[0]), index_bytes=100_000) as splice:
        splice.add(io.BytesIO(clips[0]))
        with pytest.raises(IntegrityError):
            splice.add(io.BytesIO(clips[1][:-500]))
        splice.add(io.BytesIO(clips[2]))
        splice.finish()

    assert {mark.clip for mark in films.seen(out.getvalue()).marks} == {1, 3}


class _Counting(io.BytesIO):
    writes = 0

    def write(self, content: Any, /) -> int:  # noqa: ANN401 -- any buffer
        self.writes += 1
        return super().write(content)


def test_packets_are_written_together(clips: Sequence[bytes]) -> None:
    """Each packet by itself would be a write; that takes longer than all else."""
    out = _Counting()

    film, _ = _concatenated(*(list(clips) * 30), out=out)

    assert len(_packets(film)) == 80 * 30
    assert out.writes < 80


class _FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise ArchiveError("no room")


def test_write_error_is_kept(clips: Sequence[bytes]) -> None:
    """An error when writing the film is not reported as a damaged clip."""
    with pytest.raises(ArchiveError, match="no room") as caught:
        _concatenated(*clips, *clips, out=_FullDisk())

    assert not isinstance(caught.value, IntegrityError)
