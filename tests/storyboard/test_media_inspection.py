"""Videos and audio files are known by their content, and each fault has a remedy."""

import io

import pytest
from PIL import Image

from prefect_seedance.api.capabilities import FileLimits
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.media import Medium, SourceMedia
from prefect_seedance.storyboard.media_inspection import inspect_media
from prefect_seedance.video import decoding
from tests import films
from tests.sounds import sound

_CAN = CAPABILITIES["seedance-2-0"]


def inspected(content: bytes, medium: Medium, limits: FileLimits | None = None) -> SourceMedia:
    limits = limits or (_CAN.video_files if medium == "video" else _CAN.audio_files)
    return inspect_media(content, source="the-file", medium=medium, limits=limits)


def picture(kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 36)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("container", "name"), [("mp4", "MP4"), ("mov", "MOV")])
def test_videos_are_decoded(container: str, name: str) -> None:
    """A video has the facts of its decoded frames, and its identity is its content."""
    found = inspected(films.clip(1, frames=60, container=container), "video")

    assert (found.format, found.duration_seconds, found.width, found.height) == (name, 2.5, 192, 96)
    assert found.identity == f"sha256:{found.sha256}"
    assert found.hosted_name == f"{found.sha256}.{container}"


@pytest.mark.parametrize(("container", "name"), [("mp3", "MP3"), ("wav", "WAV")])
def test_sounds_are_decoded(container: str, name: str) -> None:
    """An audio file has the length of its decoded samples."""
    found = inspected(sound(3, container=container), "audio")

    assert (found.format, found.duration_seconds, found.width) == (name, 3.0, None)


def test_tags_are_skipped() -> None:
    """An MP3 without tags, which begins with a frame, is one too."""
    content = sound(3)
    size = int.from_bytes(content[6:10])  # below 128, so that all its bits count

    assert content[:3] == b"ID3"
    assert inspected(content[10 + size :], "audio").format == "MP3"


VIDEO, AUDIO = "video", "audio"
FAULTS = [
    pytest.param(VIDEO, b"", "is an empty file; copy or export it again", id="empty"),
    pytest.param(AUDIO, b"", "is an empty file; copy or export it again", id="empty sound"),
    pytest.param(VIDEO, bytes(9000), "is a file of zeros", id="zeros"),
    pytest.param(
        VIDEO,
        b"version https://git-lfs.github.com/spec/v1\noid",
        "is a Git LFS pointer, not the video; run 'git lfs pull'",
        id="Git LFS",
    ),
    pytest.param(
        AUDIO,
        b"version https://git-lfs.github.com/spec/v1\noid",
        "not the audio file; run 'git lfs pull'",
        id="Git LFS, sound",
    ),
    pytest.param(
        VIDEO, b"<!doctype html><title>No</title>", "web page (HTML); download the video itself", id="HTML"
    ),
    pytest.param(AUDIO, b'{"message": "gone"}', "JSON, such as a server's error", id="JSON"),
    pytest.param(VIDEO, b"a shopping list\n", "is a text file; name the video itself", id="text"),
    pytest.param(
        VIDEO, picture(), "is a JPEG image, not a video; list it under 'images'", id="picture as a video"
    ),
    pytest.param(AUDIO, picture("PNG"), "is a PNG image, not an audio file", id="picture as a sound"),
    pytest.param(
        VIDEO, b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(99), "is a HEIC image, as iPhones", id="HEIC"
    ),
    pytest.param(
        VIDEO, sound(3), "is an MP3 audio file, not a video; list it under 'audios'", id="sound as a video"
    ),
    pytest.param(
        AUDIO,
        films.clip(1, frames=48),
        "is a video, not an audio file; list it under 'videos'",
        id="video as a sound",
    ),
    pytest.param(
        VIDEO,
        films.clip(1, frames=48, container="webm", codec="libvpx"),
        "is WEBM; convert the video to MP4 or MOV",
        id="WebM",
    ),
    pytest.param(
        VIDEO,
        b"RIFF\0\0\0\0AVI " + bytes(99),
        "is a video of another format; convert the video to MP4 or MOV",
        id="AVI",
    ),
    pytest.param(
        VIDEO,
        b"\0\0\0\x08wide\0\0\x10\0mdat" + bytes(99),
        "is a QuickTime video without a file type; export it again as MP4 or MOV",
        id="QuickTime",
    ),
    pytest.param(VIDEO, b"The wide shot", "is a text file; name the video itself", id="text of a shot"),
    pytest.param(AUDIO, b"ID3 tags of it", "is a text file; name the audio file itself", id="text of tags"),
    pytest.param(
        AUDIO, sound(3, container="ipod"), "is an M4A audio file of another format; convert", id="M4A"
    ),
    pytest.param(AUDIO, sound(3, container="flac"), "FLAC audio file of another format; convert", id="FLAC"),
    pytest.param(AUDIO, sound(3, container="ogg"), "convert the audio file to MP3 or WAV", id="Ogg"),
    pytest.param(VIDEO, b"\x93\x00\xfe" * 99, "is not a video that can be read; convert", id="noise"),
    pytest.param(VIDEO, films.clip(1, frames=48)[:-900], "cannot be used: it is cut off", id="cut"),
    pytest.param(AUDIO, sound(3, container="wav")[:-9000], "cannot be used: it is cut off", id="cut sound"),
    pytest.param(AUDIO, b"ID3\x03\0\0\0\0\0\0" + b"\x93\0\xfe" * 999, "cannot be used: it", id="only tags"),
    pytest.param(VIDEO, b"\0\0\0\x18ftypisom" + bytes(99), "cannot be used: it", id="no tracks"),
]


@pytest.mark.parametrize(("medium", "content", "message"), FAULTS)
def test_faults_have_remedies(medium: Medium, content: bytes, message: str) -> None:
    """Whatever its suffix, a file that is no usable video or audio file is refused as what it is."""
    with pytest.raises(StoryboardError) as refusal:
        inspected(content, medium)

    assert str(refusal.value).startswith("the-file ")
    assert message in str(refusal.value)
    assert "; " in str(refusal.value)
    assert "run again" not in str(refusal.value)


def test_large_files_are_refused() -> None:
    """A file above the limit is not decoded."""
    limits = FileLimits(formats=("MP3",), max_bytes=1000)

    with pytest.raises(StoryboardError, match=r"bytes; an audio file that is a reference may have 1,000"):
        inspected(sound(3), "audio", limits)


def test_long_videos_are_not_decoded() -> None:
    """Of a video that declares to be too long, the declared length suffices."""
    limits = FileLimits(formats=("MP4",), seconds=(0.1, 0.5), max_bytes=10**8)
    content = films.clip(1, frames=48)
    damaged = bytearray(content)
    damaged[content.index(b"mdat") + 40 : content.index(b"mdat") + 2000] = bytes(1960)

    assert inspected(bytes(damaged), "video", limits).duration_seconds == 2.0


@pytest.mark.parametrize("medium", [VIDEO, AUDIO])
def test_children_decode(medium: Medium, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that needs more time than a child has is refused, and the next one is decoded."""
    content = sound(3) if medium == AUDIO else films.clip(1, frames=48)
    decoding._CHILDREN.close()  # so that a child starts, which takes longer than the shortest time limit
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "MAX_SECONDS", 0.0)
        with pytest.raises(StoryboardError) as refusal:
            inspected(content, medium)

    assert str(refusal.value) == (
        "the-file cannot be used: it takes more than 0 s to decode; export it again"
    )
    assert inspected(content, medium).duration_seconds


def test_frames_count() -> None:
    """A header that declares another codec is refused; one that declares another size is not believed."""
    content = films.clip(1, frames=6)
    at = content.index(b"avc1") + 4 + 24  # width and height of the samples
    huge = content[:at] + b"\x40\x00\x40\x00" + content[at + 4 :]

    with pytest.raises(StoryboardError, match="export it again"):
        inspected(content.replace(b"avc1", b"mjpg"), "video")
    assert inspected(huge, "video").width == 192
