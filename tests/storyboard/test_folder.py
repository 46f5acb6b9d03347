import secrets
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.folder import Folder, list_folder, list_stored
from prefect_seedance.storyboard.loader import load_storyboard

_PICTURES = {
    "1.jpg": "JPEG",
    "2.jfif": "JPEG",
    "3.jpe": "JPEG",
    "4.PNG": "PNG",
    "5.webp": "WEBP",
    "6": "PNG",
    "7.dat": "WEBP",
    "8.jpg_large": "JPEG",
    "9.heic": "PNG",
    "10.gif": "GIF",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it grows: images of many suffixes, and other files."""
    for name, kind in _PICTURES.items():
        Image.new("RGB", (16, 9)).save(tmp_path / name, kind)
    (tmp_path / "notes.txt").write_text("sea")
    (tmp_path / "shoot.nef").write_bytes(b"MM\0*" + bytes(99))
    (tmp_path / "poster.psd").write_bytes(b"8BPS" + bytes(99))
    (tmp_path / "music.bin").write_bytes(b"\x93\x00\xfe" * 9)
    (tmp_path / ".DS_Store").touch()
    return tmp_path


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


_OTHERS = {
    "notes.txt": "a text file",
    "shoot.nef": "a camera's RAW file",
    "poster.psd": "a Photoshop document (PSD)",
    "music.bin": "of an unknown kind",
}


def test_images_are_found_by_content(folder: Path) -> None:
    """No image is left out for its suffix."""
    (folder / "more").mkdir()

    found = list_folder(folder)

    assert set(found.images) == set(_PICTURES)
    assert found.others == {**_OTHERS, "more": "a folder"}


async def test_stored_images_are_found_too(folder: Path) -> None:
    """A folder in a bucket gives the same images as a local one."""
    place = f"memory://{secrets.token_hex(8)}"
    store = Store.open(place)
    for name, content in _contents(folder).items():
        await store.put(f"film/{name}", content)

    async def opener(_: str) -> Store:
        return store

    names = await store.names("film")
    found = await list_stored(Location(place, "film"), names, objects=Objects(opener))

    assert (set(found.images), found.others) == (set(_PICTURES), _OTHERS)


def test_note_names_what_is_left_out() -> None:
    """The note is bounded, and there is none if nothing is left out."""
    place = Path("film")
    many = {f"{number:02}.txt": "a text file" for number in range(12)}

    assert Folder(place=place, images=("a.png",), others={}).note == ""
    note = Folder(place=place, images=(), others=many).note
    assert note.startswith("Left out of film, because they are no images: 00.txt (a text file), 01.txt")
    assert note.endswith("and 2 more")


async def test_storyboard_has_the_note(tmp_path: Path) -> None:
    """What is left out is a note of the parsed storyboard, which plan and produce print."""
    for name in ("1.jfif", "2.jpe"):
        Image.new("RGB", (16, 9)).save(tmp_path / name, "JPEG")
    (tmp_path / "notes.txt").write_text("sea")

    parsed = await load_storyboard(tmp_path, prompt="waves")

    assert [clip.name for clip in parsed.clips] == ["1 → 2"]
    assert "notes.txt (a text file)" in parsed.note
