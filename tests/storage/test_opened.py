"""Objects opened as files."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError
from prefect_seedance.storage.opened import open_object
from prefect_seedance.storage.store import Store


@pytest.mark.parametrize("kind", ["folder", "bucket"])
async def test_opens_file(kind: str, tmp_path: Path) -> None:
    """An object is opened as a file, with its digest; that of a bucket is a copy."""
    store = Store.open(str(tmp_path) if kind == "folder" else "memory://opened")
    await store.put("clip.mp4", b"video")

    opened = await open_object(store, "clip.mp4")

    assert opened
    file, sha256 = opened
    with file:
        file.seek(0)
        assert file.read() == b"video"
    assert sha256 == hashlib.sha256(b"video").hexdigest()
    assert await open_object(store, "missing.mp4") is None


async def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be opened is an error that names it."""
    store = Store.open(str(tmp_path))
    (tmp_path / "clip.mp4").symlink_to("clip.mp4")

    with pytest.raises(ArchiveError, match=r"Could not read .*clip\.mp4"):
        await open_object(store, "clip.mp4")


async def test_cancelled_opening_closes(tmp_path: Path) -> None:
    """If it is cancelled while the digest is computed, the file is closed."""
    store = Store.open(str(tmp_path))
    large = tmp_path / "clip.mp4"
    with large.open("wb") as file:
        file.truncate(1_000_000_000)

    def is_open() -> bool:
        return any(os.path.realpath(each) == str(large) for each in Path("/proc/self/fd").iterdir())

    opening = asyncio.create_task(open_object(store, "clip.mp4"))
    async with asyncio.timeout(60):
        while not is_open():
            await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert not is_open()
