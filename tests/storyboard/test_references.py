"""References that clips share, or have of their own."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard
from prefect_seedance.storyboard.plan import plan
from tests import films
from tests.sounds import sound

NEW = "seedance-2-0"
URL = "https://example.com"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with images, videos and audio files."""
    Image.new("RGB", (64, 36), "orange").save(tmp_path / "look.png")
    (tmp_path / "pan.mp4").write_bytes(films.clip(1, frames=48))
    (tmp_path / "short.mp4").write_bytes(films.clip(1, frames=24))
    (tmp_path / "waves.mp3").write_bytes(sound(3))
    for name, seconds in {"seven": 7, "eight": 8, "long": 16}.items():
        (tmp_path / f"{name}.wav").write_bytes(sound(seconds, container="wav"))
    return tmp_path


def parsed(folder: Path | None, *clips: dict[str, Any], **defaults: object) -> ParsedStoryboard:
    settings = {"model": NEW, "prompt": "in the style of @Image1", **defaults}
    content = {"title": "t", "defaults": settings, "clips": clips}
    return parse_storyboard(Document.inline(content, folder=folder))


def test_clips_share_references(folder: Path) -> None:
    """References of the defaults apply to every clip that has none of its own."""
    first, second = parsed(
        folder,
        {},
        {"references": {"images": [f"{URL}/b.png"], "audios": [f"{URL}/b.mp3"]}},
        references={"images": ["look.png"], "videos": [f"{URL}/a.mp4"]},
    ).clips

    assert [image.is_local for image in first.references] == [True]
    assert (first.mode, second.mode) == ("omni_reference", "omni_reference")
    sent = first.input([f"{URL}/hosted.png", f"{URL}/a.mp4"]).model_dump()
    assert (sent["image_urls"], sent["video_urls"]) == ((f"{URL}/hosted.png",), (f"{URL}/a.mp4",))
    assert "audio_urls" not in sent
    assert second.input([f"{URL}/b.png", f"{URL}/b.mp3"]).audio_urls == (f"{URL}/b.mp3",)


def test_empty_references_replace_shared_ones() -> None:
    """A clip with empty references has none, and another mode."""
    (clip,) = parsed(None, {"references": {}}, references={"images": [f"{URL}/a.png"]}).clips

    assert (clip.mode, clip.references) == ("text-to-video", ())


def test_frames_come_before_references() -> None:
    """A shot's frames are the first images, so that the prompt can name all by their numbers."""
    shots = [{"image": f"{URL}/{name}.png", "prompt": "waves"} for name in "ab"]
    content = {"defaults": {"model": NEW, "references": {"images": [f"{URL}/look.png"]}}, "shots": shots}

    (clip,) = parse_storyboard(Document.inline(content)).clips

    assert [image.stem for image in clip.sources] == ["a", "b", "look"]
    assert clip.mode == "omni_reference"
    assert clip.frames == ()  # the model only refers to them, so the clip need not begin with one


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"images": ["none.png"]}, "defaults, references, image 1: there is no image"),
        ({"videos": ["none.mp4"]}, "defaults, references, video 1: there is no video"),
        ({"audios": ["none.mp3"]}, "defaults, references, audio 1: there is no audio file"),
        ({"videos": ["../none.mp4"]}, "video 1: '../none.mp4' leads out of the storyboard's folder"),
        ({"videos": ["look.png"]}, "look.png is a PNG image, not a video; list it under 'images'"),
        ({"images": ["pan.mp4"]}, "pan.mp4 is a video; export one frame of it as an image, or list it"),
        ({"images": ["waves.mp3"]}, "waves.mp3 is an MP3 audio file; list it under 'audios'"),
        ({"videos": ["short.mp4"]}, "video 1: short.mp4 has 1.0 s, and a reference has 2 to 15 s; use"),
        ({"audios": ["long.wav"]}, "audio 1: long.wav has 16.0 s, and a reference has 2 to 15 s; cut it"),
        ({"videos": [""]}, "video 1: is empty; name a file with a video or an https URL"),
        (
            {"images": ["look.png"], "audios": ["eight.wav", "seven.wav", "waves.mp3"]},
            "references, audios: have 18.0 s together, and seedance-2-0 accepts 15 s; shorten or remove",
        ),
        ({"videos": ["ftp://a/b"]}, "defaults, references, video 1: 'ftp://a/b' is not an https URL"),
        ({"audios": [f"{URL}/a.mp3"]}, "defaults, references: has audio alone"),
        ({"images": [f"{URL}/{n}.png" for n in range(10)]}, "has 10 images; omni_reference accepts up to 9"),
        ({"videos": [f"{URL}/{n}.mp4" for n in range(4)]}, "has 4 videos; omni_reference accepts up to 3"),
        ({"image": [f"{URL}/a.png"]}, "defaults, references, image: unknown field; did you mean 'images'?"),
        ({"images": "a.png"}, "defaults, references, images: expected a list"),
    ],
)
def test_mistakes_are_located(references: dict[str, Any], message: str, folder: Path) -> None:
    """Each mistake in references is reported where it is written, once."""
    with pytest.raises(StoryboardError) as caught:
        parsed(folder, {}, references=references)

    assert str(caught.value).count(message) == 1


def test_long_file_is_one_mistake(folder: Path) -> None:
    """A file that is too long alone is not reported again as too long together with others."""
    with pytest.raises(StoryboardError) as caught:
        parsed(folder, {"references": {"images": ["look.png"], "audios": ["long.wav", "waves.mp3"]}})

    (message,) = str(caught.value).splitlines()
    assert "audio 1: long.wav has 16.0 s, and a reference has 2 to 15 s; cut it" in message


def test_older_model_has_no_references() -> None:
    """A model without such a mode refuses references, and its modes are named."""
    with pytest.raises(StoryboardError, match=r"references: 'omni_reference' is not a mode"):
        parsed(None, {"model": "seedance-1-5-pro", "references": {"images": [f"{URL}/a.png"]}})


def test_signatures_are_not_stored() -> None:
    """A new signature of a reference's URL neither buys the clip again nor is stored."""
    boards = [
        parsed(None, {"references": {"videos": [f"{URL}/a.mp4?X-Amz-Signature={number * 64}"]}})
        for number in "12"
    ]

    assert len({plan(board.clips, title="t").clips[0].fingerprint for board in boards}) == 1
    assert "Signature" not in boards[0].storyboard.without_signatures().model_dump_json()


def test_fingerprint_covers_references(folder: Path) -> None:
    """Other references make another clip: by the content of an image, and by the URLs of other files."""
    given: list[dict[str, Any]] = [
        {},
        {"images": ["look.png"]},
        {"images": [f"{URL}/a.png"]},
        {"images": ["look.png"], "videos": [f"{URL}/a.mp4"]},
        {"images": ["look.png"], "audios": [f"{URL}/a.mp4"]},
    ]
    clips = parsed(folder, *({"references": each} for each in given)).clips

    prints = {clip.fingerprint for clip in plan(clips, title="t").clips}

    assert len(prints) == len(given)


def test_local_files_are_references(folder: Path) -> None:
    """Videos and audio files in the folder are identified by their content, whatever their names."""
    first = parsed(folder, {"references": {"videos": ["pan.mp4"], "audios": ["waves.mp3"]}}).clips
    (folder / "pan.mp4").rename(folder / "waves.bin")
    (folder / "waves.mp3").rename(folder / "pan.bin")

    renamed = parsed(folder, {"references": {"videos": ["waves.bin"], "audios": ["pan.bin"]}}).clips

    assert [file.hosted_name[64:] for file in first[0].sources] == [".mp4", ".mp3"]
    assert plan(first, title="t").clips[0].fingerprint == plan(renamed, title="t").clips[0].fingerprint


def test_content_decides(folder: Path) -> None:
    """A video with other content makes another clip."""
    references = {"references": {"videos": ["pan.mp4"]}}
    before = plan(parsed(folder, references).clips, title="t").clips[0].fingerprint
    (folder / "pan.mp4").write_bytes(films.clip(2, frames=48))

    assert plan(parsed(folder, references).clips, title="t").clips[0].fingerprint != before


def test_each_model_has_its_limits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that one model accepts is refused for the clip of a stricter one."""
    models = tmp_path / "models.yaml"
    models.write_text("strict: {like: seedance-2-0, video_files: {formats: [MOV], max_bytes: 1000}}")
    monkeypatch.setenv("SEEDANCE_MODELS", str(models))
    references = {"videos": ["pan.mp4"]}

    with pytest.raises(StoryboardError) as caught:
        parsed(folder, {"references": references}, {"references": references, "model": "strict"})

    (message,) = str(caught.value).splitlines()
    assert "clip 2, references, video 1: pan.mp4 is MP4; convert the video to MOV" in message


def test_clips_with_other_files_differ(folder: Path) -> None:
    """Clips that differ in their references or their model only are not called the same."""
    videos = {"references": {"videos": ["pan.mp4"]}}

    note = parsed(folder, videos, {}, {"model": "seedance-2-0-fast"}, {**videos}).note

    assert "Clips 1 and 4 are the same" in note
    assert "2" not in note.split("are the same")[0]


def test_mistakes_hide_no_others(folder: Path) -> None:
    """An entry of the wrong type is reported together with the mistakes of other clips."""
    with pytest.raises(StoryboardError) as caught:
        parsed(
            folder,
            {"references": {"videos": [{"url": "pan.mp4"}]}},
            {"references": {"audios": ["waves.mp3"]}},
            {"references": {"videos": ["Pan.mp4"]}},
        )

    first, second, third = str(caught.value).splitlines()
    assert "clip 1, references, video 1: expected text, found fields" in first
    assert "clip 2, references: has audio alone" in second
    assert "Pan.mp4; did you mean 'pan.mp4'?" in third
