from pathlib import Path

import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location, absolute

_FOLDER = Location("s3://bucket", "boards/night")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        pytest.param("s3://bucket/boards/a.yaml", ("s3://bucket", "boards/a.yaml"), id="S3"),
        pytest.param("gs://bucket/a b#1.yaml", ("gs://bucket", "a b#1.yaml"), id="GCS, odd name"),
        pytest.param("az://container/boards/", ("az://container", "boards"), id="Azure, folder"),
        pytest.param("s3://bucket", ("s3://bucket", ""), id="bucket"),
        pytest.param("block:films/boards/a.yaml", ("block:films", "boards/a.yaml"), id="block"),
        pytest.param("block:films", ("block:films", ""), id="whole block"),
        pytest.param("boards/a.yaml", None, id="path"),
        pytest.param("./block:films/a.yaml", None, id="path like a block"),
        pytest.param("https://example.com/a.yaml", None, id="URL"),
    ],
)
def test_parses_locations(text: str, location: tuple[str, str] | None) -> None:
    """A location is parsed into its root and key; paths and other URLs are not locations."""
    assert Location.parse(text) == location


@pytest.mark.parametrize("text", ["s3://bucket/boards/a.yaml", "block:films/a.yaml", "s3://bucket"])
def test_formats_locations(text: str) -> None:
    """A location is formatted as it was given."""
    assert str(Location.parse(text)) == text


@pytest.mark.parametrize(
    ("name", "allow_outside", "key"),
    [
        pytest.param("a.png", False, "boards/night/a.png", id="beside"),
        pytest.param("images/./b/../a.png", False, "boards/night/images/a.png", id="below"),
        pytest.param("a%20b?#.png", False, "boards/night/a%20b?#.png", id="odd"),
        pytest.param("..a.png", False, "boards/night/..a.png", id="dots in a name"),
        pytest.param("/boards/night/a.png", False, "boards/night/a.png", id="from the root, but inside"),
        pytest.param("/other/a.png", True, "other/a.png", id="outside, allowed"),
    ],
)
def test_resolves_names(name: str, allow_outside: bool, key: str) -> None:  # noqa: FBT001 -- a table's column
    """An image's name is resolved in the storyboard's folder, as in a local folder."""
    assert _FOLDER.find(name, allow_outside=allow_outside) == ("s3://bucket", key)


@pytest.mark.parametrize("allow_outside", [False, True])
@pytest.mark.parametrize("name", ["../a.png", "images/../../a.png", "../../../a.png", "../night-2/a.png"])
def test_names_cannot_climb(name: str, allow_outside: bool) -> None:  # noqa: FBT001 -- a table's column
    """A relative name never leads out of the storyboard's folder."""
    with pytest.raises(
        StoryboardError, match="leads out of the storyboard's folder s3://bucket/boards/night"
    ):
        _FOLDER.find(name, allow_outside=allow_outside)


@pytest.mark.parametrize("name", ["/other/a.png", "/boards/night-2/a.png", "/boards/night/../a.png"])
def test_root_needs_permission(name: str) -> None:
    """A key from the root leads out of the folder only if that is allowed."""
    with pytest.raises(StoryboardError, match="allow_outside=True"):
        _FOLDER.find(name, allow_outside=False)


def test_root_is_a_folder() -> None:
    """A storyboard may be at the root of a bucket."""
    root = Location("s3://bucket", "board.yaml").folder

    assert root.find("a.png", allow_outside=False) == ("s3://bucket", "a.png")
    assert (root.name, str(root)) == ("s3://bucket", "s3://bucket")
    with pytest.raises(StoryboardError, match="leads out"):
        root.find("../a.png", allow_outside=True)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("films", "/srv/films"),
        ("./block:films", "/srv/block:films"),
        ("/mnt/films", "/mnt/films"),
        ("s3://bucket/films", "s3://bucket/films"),
        ("block:films", "block:films"),
        ("file:///mnt/films", "file:///mnt/films"),
        ("", ""),
    ],
)
def test_paths_become_absolute(source: str, found: str) -> None:
    """A relative path becomes absolute; URLs, blocks and a missing name stay."""
    assert absolute(source, directory=Path("/srv")) == found
