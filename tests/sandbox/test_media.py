"""Videos and audio files that are references are decoded and measured."""

from pathlib import Path

import pytest

from prefect_seedance.sandbox.media import MediaLimits, Medium, UnusableMediaError, check_lengths
from tests import films
from tests.sounds import sound

LIMITS = MediaLimits(max_bytes=10**6)
NOISE = b"\x93\x00\xfe" * 999


def video(seconds: float) -> bytes:
    return films.clip(1, frames=round(24 * seconds), size=(64, 36))


def written(contents: list[bytes], folder: Path) -> list[Path]:
    files = [folder / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


@pytest.mark.parametrize(
    ("medium", "contents"),
    [
        pytest.param("audio", [], id="none"),
        pytest.param("audio", [sound(2)], id="shortest"),
        pytest.param("audio", [sound(15)], id="longest"),
        pytest.param("audio", [sound(8), sound(5), sound(2)], id="most of all"),
        pytest.param("video", [video(2)], id="video"),
    ],
)
def test_lengths_within_limits_pass(medium: Medium, contents: list[bytes], tmp_path: Path) -> None:
    """Files at the limits are accepted; the padding of an encoder does not count."""
    check_lengths(written(contents, tmp_path), medium, limits=LIMITS)


@pytest.mark.parametrize(
    ("medium", "contents", "reason"),
    [
        pytest.param("audio", [sound(1)], r"an? audio has 1\.\d+ seconds, not 2 to 15", id="1 s"),
        pytest.param("audio", [sound(16)], r"an? audio has 16\.\d+ seconds, not 2 to 15", id="16 s"),
        pytest.param(
            "audio", [sound(8), sound(7), sound(3)], r"files have 18\.\d+ seconds, more than 15", id="18 s"
        ),
        pytest.param("audio", [sound(3), sound(1)], "not 2 to 15", id="second of 1 s"),
        pytest.param("video", [video(1)], r"a video has 1\.\d+ seconds", id="video of 1 s"),
        pytest.param("audio", [video(3)], "it is not a audio file", id="video as audio"),
        pytest.param("video", [sound(3)], "it is not a video file", id="audio as video"),
        pytest.param("audio", [NOISE], "the audio file cannot be decoded", id="noise"),
        pytest.param("video", [NOISE], "the video file cannot be decoded", id="noise as video"),
    ],
)
def test_other_files_are_refused(medium: Medium, contents: list[bytes], reason: str, tmp_path: Path) -> None:
    """A file of another length or medium, or that is damaged, is refused with the reason."""
    with pytest.raises(UnusableMediaError, match=reason):
        check_lengths(written(contents, tmp_path), medium, limits=LIMITS)


def test_limits_are_those_given(tmp_path: Path) -> None:
    """A model may accept longer files, and fewer seconds of all."""
    files = written([sound(3), sound(3, pitch=300)], tmp_path)

    check_lengths(files, "audio", limits=MediaLimits(max_bytes=1, seconds=(3, 3), total_seconds=6))
    with pytest.raises(UnusableMediaError, match=r"seconds, more than 5"):
        check_lengths(files, "audio", limits=MediaLimits(max_bytes=1, total_seconds=5))
