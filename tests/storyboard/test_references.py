"""References that clips share, or have of their own."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard
from prefect_seedance.storyboard.plan import plan

NEW = "seedance-2-0"
URL = "https://example.com"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an image."""
    Image.new("RGB", (64, 36), "orange").save(tmp_path / "look.png")
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
    sent = first.input([f"{URL}/hosted.png"]).model_dump()
    assert (sent["image_urls"], sent["video_urls"]) == ((f"{URL}/hosted.png",), (f"{URL}/a.mp4",))
    assert "audio_urls" not in sent
    assert second.input([f"{URL}/b.png"]).audio_urls == (f"{URL}/b.mp3",)


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


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"images": ["none.png"]}, "defaults, references, image 1: there is no image"),
        (
            {"videos": ["a.mp4"]},
            "defaults, references, video 1: 'a.mp4' is not a URL; of references, only images",
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
