"""Names of stored files for people."""

import errno
import os
from pathlib import Path

import pytest

from prefect_seedance.storage.file_names import download_name, link_files, safe_name
from prefect_seedance.storage.store import Store


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Return a stored video."""
    path = tmp_path / "clip-1.mp4"
    path.write_bytes(b"video")
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_links_share_file(video: Path, tmp_path: Path) -> None:
    """A name refers to the file itself, and stays the same however often it is made."""
    folder = tmp_path / "names"

    for _ in range(2):
        assert link_files(folder, {"01 dawn → noon.mp4": video, "02 dawn → noon.mp4": video})

    assert names_in(folder) == ["01 dawn → noon.mp4", "02 dawn → noon.mp4"]
    assert all(path.samefile(video) for path in folder.iterdir())


def test_former_names_are_removed(video: Path, tmp_path: Path) -> None:
    """A name that no clip has any more is removed, and one with another clip refers to that."""
    folder, other = tmp_path / "names", tmp_path / "clip-2.mp4"
    other.write_bytes(b"other")
    link_files(folder, {"01 dawn.mp4": video, "02 noon.mp4": other})

    link_files(folder, {"01 dawn.mp4": other})

    assert names_in(folder) == ["01 dawn.mp4"]
    assert (folder / "01 dawn.mp4").read_bytes() == b"other"
    assert video.read_bytes() == b"video"


def test_only_copy_is_kept(video: Path, tmp_path: Path) -> None:
    """A file that exists nowhere else is neither removed nor replaced."""
    folder = tmp_path / "names"
    folder.mkdir()
    for name in ("01 dawn.mp4", "notes.txt"):
        (folder / name).write_bytes(b"the author's")

    assert link_files(folder, {"01 dawn.mp4": video})

    assert [path.read_bytes() for path in folder.iterdir()] == [b"the author's"] * 2


def test_author_files_are_kept(video: Path, tmp_path: Path) -> None:
    """A file with a name of another kind is the author's, also if it is a hard link."""
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "best take.mp4").hardlink_to(video)

    link_files(folder, {"01 dawn.mp4": video})

    assert names_in(folder) == ["01 dawn.mp4", "best take.mp4"]


def test_missing_video_has_no_name(video: Path, tmp_path: Path) -> None:
    """A video that was deleted affects no other name."""
    assert link_files(tmp_path / "names", {"01.mp4": tmp_path / "gone.mp4", "02.mp4": video})

    assert names_in(tmp_path / "names") == ["02.mp4"]


def test_links_are_optional(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links has no names, which is no error."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refuse)

    assert not link_files(tmp_path / "names", {"01.mp4": video})


async def test_bucket_has_no_links() -> None:
    """A bucket has no second names."""
    assert not await Store.open("memory://names").link_objects("clips", {"01.mp4": "clips/x.mp4"})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dawn → noon", "dawn → noon"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ('a: "b"?\n<c>', "a- -b- -c-"),
        ("trailing. ", "trailing"),
        ("\u202egnp.exe", "-u202egnp.exe"),
        ("é" * 300, "é" * 100),
        (" . ", ""),
    ],
    ids=["arrow", "folders", "forbidden", "dots", "hidden", "long", "empty"],
)
def test_name_is_safe(text: str, name: str) -> None:
    """A name has no character that a file system refuses, and is not too long."""
    assert safe_name(text) == name


def test_download_has_name() -> None:
    """The name of a download may have any characters."""
    name = download_name("dawn → noon.mp4")

    assert name == {"Content-Disposition": "inline; filename*=UTF-8''dawn%20%E2%86%92%20noon.mp4"}
