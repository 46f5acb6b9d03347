from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.doors import Door, entered
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with large images of some shapes, and a small one."""
    sizes = {"wide": (1280, 720), "wider": (1400, 760), "tall": (720, 1280), "square": (1000, 1000)}
    for name, size in {**sizes, "small": (320, 180)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    return tmp_path


def _parsed(folder: Path, *images: str, **settings: object) -> ParsedStoryboard:
    shots = [{"image": image if "//" in image else f"{image}.png"} for image in images]
    board = {"defaults": {"prompt": "waves", **settings}, "shots": shots}
    return parse_storyboard(Document.inline(board, folder=folder))


@pytest.mark.parametrize(
    ("images", "settings", "note"),
    [
        pytest.param(
            ["wide", "tall"],
            {},
            "wide (1280×720), tall (720×1280) are not 1:1 as the clip: set 'aspect_ratio: 16:9', or "
            "'fit: crop' or 'fit: pad'",
            id="other shapes",
        ),
        pytest.param(["wide", "wider"], {"aspect_ratio": "16:9"}, "wider (1400×760) is not 16:9", id="near"),
        pytest.param(["wide", "tall"], {"fit": "crop"}, "", id="fitted"),
        pytest.param(["wide", "wide"], {"aspect_ratio": "16:9"}, "", id="same shape"),
        pytest.param(
            ["small", "small"], {"aspect_ratio": "16:9"}, "small (320×180) is smaller than", id="small"
        ),
        pytest.param(["https://e.example/a.png"] * 2, {}, "", id="unknown size"),
    ],
)
def test_shapes_are_compared(folder: Path, images: list[str], settings: dict[str, object], note: str) -> None:
    """The author reads which images the API would cut, stretch or enlarge, and what to write."""
    assert _parsed(folder, *images, **settings).note[: len(note) or None] == note


async def test_folder_is_set_by_options(folder: Path) -> None:
    """A folder of images has no settings of its own, so the remedy names the option that sets them."""
    (folder / "small.png").unlink()
    for name in ("wider", "square", "tall"):
        (folder / f"{name}.png").unlink()
    Image.new("RGB", (1280, 720)).save(folder / "other.png")

    with entered(Door.command):
        note = (await load_storyboard(folder, prompt="waves")).note

    assert note.endswith(
        "are not 1:1 as the clip: set --aspect-ratio 16:9, "
        "or write a storyboard with 'fit: crop' or 'fit: pad'"
    )


def test_mixed_shapes_are_noted(folder: Path) -> None:
    """A film of clips with different ratios has bars."""
    shots = [
        {"image": "wide.png", "prompt": "abc", "aspect_ratio": "16:9"},
        {"image": "wide.png", "prompt": "abc", "aspect_ratio": "9:16", "fit": "crop"},
        {"image": "wide.png"},
    ]

    parsed = parse_storyboard(Document.inline({"shots": shots}, folder=folder))

    assert "different aspect ratios (16:9, 9:16), so the film shows bars" in parsed.note


@pytest.mark.parametrize(
    ("images", "ratio"),
    [
        (["wide", "tall"], "16:9"),
        (["tall", "wide"], "9:16"),
        (["square", "wide"], "1:1"),
        (["wider"] * 2, "16:9"),
    ],
    ids=["wide", "tall", "square", "nearest"],
)
def test_first_image_decides(folder: Path, images: list[str], ratio: str) -> None:
    """With auto, all clips of a film have the ratio nearest to its first image, and a note says so."""
    parsed = _parsed(folder, *images, aspect_ratio="auto")

    assert {clip.settings.aspect_ratio for clip in parsed.clips} == {ratio}
    assert parsed.note.startswith(f"aspect_ratio: auto is {ratio}, after {images[0]} (")
    assert "No clip begins" not in parsed.note


def test_clips_decide_for_themselves(folder: Path) -> None:
    """In a list, each clip with auto has the ratio of its own image."""
    clips = [{"prompt": "abc", "images": [f"{name}.png"]} for name in ("wide", "tall")]
    document = Document.inline({"defaults": {"aspect_ratio": "auto"}, "clips": clips}, folder=folder)

    found = parse_storyboard(document).clips

    assert [clip.settings.aspect_ratio for clip in found] == ["16:9", "9:16"]


def test_auto_needs_an_image(folder: Path) -> None:
    """The size of an image at a URL is unknown, so that the author must choose."""
    with pytest.raises(StoryboardError, match="aspect_ratio: auto needs an image that is a local file"):
        _parsed(folder, *["https://e.example/a.png"] * 2, aspect_ratio="auto")


@pytest.mark.parametrize(
    ("query", "is_noted"),
    [
        pytest.param("v=0a1b2c3d4e5f60718293a4b5c6d7e8f9", True, id="unknown signature"),
        pytest.param("X-Amz-Signature=0a1b2c3d4e5f60718293a4b5c6d7e8f9", False, id="known signature"),
        pytest.param("width=1280&name=lighthouse-at-dawn-in-the-fog", False, id="words"),
    ],
)
def test_changing_url_is_noted(folder: Path, query: str, is_noted: bool) -> None:  # noqa: FBT001 -- a column
    """A URL that seems to be signed in an unknown way would buy its clip again."""
    parsed = _parsed(folder, *[f"https://e.example/a.png?{query}"] * 2)

    assert ("https://e.example/a.png may be signed" in parsed.note) is is_noted
