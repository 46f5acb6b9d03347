from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.loader import names_in, storyboard_of
from prefect_seedance.storyboard.parser import parse_storyboard


def test_folder_is_read_as_people_count(tmp_path: Path) -> None:
    """A folder of images is a storyboard in the order of its names, told by one prompt."""
    folder = tmp_path / "Night Walk"
    folder.mkdir()
    for name in ("scene 10.png", "Scene 2.png", "scene 1.png", ".hidden.png"):
        Image.new("RGB", (16, 9)).save(folder / name)
    (folder / "notes.txt").touch()

    reading = parse_storyboard(storyboard_of(folder, names_in(folder), prompt="walking on"))

    assert reading.title == "Night Walk"
    assert [clip.name for clip in reading.clips] == [
        "scene 1 → Scene 2",
        "Scene 2 → scene 10",
    ]
    assert {clip.prompt for clip in reading.clips} == {"walking on"}


@pytest.mark.parametrize(
    ("files", "prompt", "says"),
    [
        pytest.param(["notes.txt"], "waves", "holds no images", id="no images"),
        pytest.param(["a.png"], "waves", "holds one shot", id="one image"),
        pytest.param(["a.png", "b.png"], " ", "needs a prompt", id="no prompt"),
        pytest.param(["a.png", "b.gif", "c.png"], "waves", "b.gif is GIF", id="image of another format"),
        pytest.param(["a.png", "b.png"], "ab", "has 2 characters", id="short prompt"),
    ],
)
def test_folder_mistakes_are_told(tmp_path: Path, files: list[str], prompt: str, says: str) -> None:
    """A folder that makes no film says why, and no image is skipped silently."""
    for name in files:
        Image.new("RGB", (16, 9)).save(tmp_path / name, Path(name).suffix[1:].replace("txt", "png"))

    with pytest.raises(StoryboardError, match=says):
        parse_storyboard(storyboard_of(tmp_path, names_in(tmp_path), prompt=prompt))


def test_folder_must_be_one(tmp_path: Path) -> None:
    """A missing folder is said to be missing."""
    with pytest.raises(StoryboardError, match="No such file"):
        names_in(tmp_path / "absent")
