from pathlib import Path

import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}"


@pytest.fixture
def opened() -> list[str]:
    return []


@pytest.fixture
def objects(opened: list[str]) -> Objects:
    async def opener(root: str) -> Store:
        opened.append(root)
        return Store.open(root)

    return Objects(opener)


async def test_reads_an_object(objects: Objects, root: str) -> None:
    """An object's content and size are read at its location."""
    await Store.open(root).put("boards/dawn.png", b"image")
    location = Location(root, "boards/dawn.png")

    assert await objects.read(location) == b"image"
    assert await objects.size_bytes(location) == 5


async def test_opens_each_store_once(objects: Objects, root: str, opened: list[str]) -> None:
    """However many objects are read, each store is opened once."""
    await Store.open(root).put("a.png", b"image")

    for _ in range(3):
        await objects.read(Location(root, "a.png"))
        await objects.names(Location(f"{root}-other", ""))

    assert opened == [root, f"{root}-other"]


async def test_lists_a_folder(objects: Objects, root: str) -> None:
    """The names of a folder are those of the objects directly in it."""
    for key in ("boards/b.png", "boards/a.png", "boards/deep/c.png", "other/d.png"):
        await Store.open(root).put(key, b"image")

    assert await objects.names(Location(root, "boards")) == ("a.png", "b.png")
    assert await objects.names(Location(root, "nowhere")) == ()


@pytest.mark.parametrize("key", ["", "boards", "boards/none.png"], ids=["whole store", "folder", "missing"])
async def test_folders_have_no_size(objects: Objects, root: str, key: str) -> None:
    """A folder, like a missing object, has no size."""
    await Store.open(root).put("boards/dawn.png", b"image")

    assert await objects.size_bytes(Location(root, key)) is None


async def test_missing_object_suggests_a_name(objects: Objects, root: str) -> None:
    """The error of a missing object suggests the most similar name in its folder."""
    await Store.open(root).put("boards/dawn.png", b"image")

    with pytest.raises(
        StoryboardError, match=rf"^there is no {root}/boards/dwan\.png; did you mean 'dawn\.png'\?$"
    ):
        await objects.read(Location(root, "boards/dwan.png"))


async def test_store_errors_are_translated(objects: Objects, tmp_path: Path) -> None:
    """If a store refuses access, the error names the remedy for the author."""
    (tmp_path / "file").touch()

    with pytest.raises(
        StoryboardError, match=r"^Could not read .*\. Check the name, and that the credentials"
    ):
        await objects.read(Location(str(tmp_path), "file/dawn.png"))
