import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location

_FOLDER = Location("s3://bucket", "boards/night")


@pytest.mark.parametrize(
    ("text", "address"),
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
def test_address_is_told_from_paths(text: str, address: tuple[str, str] | None) -> None:
    """What names an object is split into what to open and where to look there."""
    assert Location.parse(text) == address


@pytest.mark.parametrize("text", ["s3://bucket/boards/a.yaml", "block:films/a.yaml", "s3://bucket"])
def test_address_is_written_as_read(text: str) -> None:
    """People, and the tasks that host an image later, get back what was typed."""
    assert str(Location.parse(text)) == text


@pytest.mark.parametrize(
    ("name", "allow_outside", "key"),
    [
        pytest.param("a.png", False, "boards/night/a.png", id="beside"),
        pytest.param("images/./b/../a.png", False, "boards/night/images/a.png", id="below"),
        pytest.param("a%20b?#.png", False, "boards/night/a%20b?#.png", id="odd"),
        pytest.param("..a.png", False, "boards/night/..a.png", id="dots in a name"),
        pytest.param("/boards/night/a.png", False, "boards/night/a.png", id="from the top, but inside"),
        pytest.param("/other/a.png", True, "other/a.png", id="outside, by leave"),
    ],
)
def test_names_are_found(name: str, allow_outside: bool, key: str) -> None:  # noqa: FBT001 -- a table's column
    """An image's name means an object in the storyboard's folder, as it means a file in one."""
    assert _FOLDER.find(name, allow_outside=allow_outside) == ("s3://bucket", key)


@pytest.mark.parametrize("allow_outside", [False, True])
@pytest.mark.parametrize("name", ["../a.png", "images/../../a.png", "../../../a.png", "../night-2/a.png"])
def test_names_cannot_climb(name: str, allow_outside: bool) -> None:  # noqa: FBT001 -- a table's column
    """No dots lead out of a storyboard's folder, whatever is allowed."""
    with pytest.raises(
        StoryboardError, match="leads out of the storyboard's folder s3://bucket/boards/night"
    ):
        _FOLDER.find(name, allow_outside=allow_outside)


@pytest.mark.parametrize("name", ["/other/a.png", "/boards/night-2/a.png", "/boards/night/../a.png"])
def test_top_needs_leave(name: str) -> None:
    """A key from the top is outside like an absolute path."""
    with pytest.raises(StoryboardError, match="allow images outside"):
        _FOLDER.find(name, allow_outside=False)


def test_top_of_a_place_is_a_folder() -> None:
    """A storyboard may lie at the top of a bucket."""
    top = Location("s3://bucket", "board.yaml").folder

    assert top.find("a.png", allow_outside=False) == ("s3://bucket", "a.png")
    assert (top.name, str(top)) == ("s3://bucket", "s3://bucket")
    with pytest.raises(StoryboardError, match="leads out"):
        top.find("../a.png", allow_outside=True)
