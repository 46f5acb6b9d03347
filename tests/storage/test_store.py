import asyncio
import errno
import hashlib
import io
import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}")


async def test_reads_what_was_written(store: Store) -> None:
    """An object is read under the key that it was written under."""
    created = await store.create("a/b/c.json", b"one")
    await store.put("a/b/d.mp4", b"two", media_type="video/mp4")
    await store.put("a/e", io.BytesIO(b"three"))

    assert created
    assert [await store.read(key) for key in ("a/b/c.json", "a/b/d.mp4", "a/e")] == [b"one", b"two", b"three"]
    assert await store.size_bytes("a/e") == 5


async def test_first_creation_wins(store: Store) -> None:
    """Creating an existing object returns False and does not change it."""
    await store.create("a/b", b"first")

    assert not await store.create("a/b", b"second")
    assert await store.read("a/b") == b"first"


async def test_equal_creations_have_one_winner(store: Store) -> None:
    """Of fifty concurrent creations with the same content, exactly one returns True."""
    won = await asyncio.gather(*[store.create("a/b", b"same") for _ in range(50)])

    assert sum(won) == 1


async def test_one_concurrent_creation_wins(store: Store) -> None:
    """Of fifty concurrent creations exactly one returns True, and its content is stored."""
    won = await asyncio.gather(*[store.create("a/b", b"%d" % number) for number in range(50)])

    assert sum(won) == 1
    assert await store.read("a/b") == b"%d" % won.index(True)


async def test_put_overwrites(store: Store) -> None:
    """A put replaces an existing object."""
    await store.put("a/b", b"something long")
    await store.put("a/b", b"new")

    assert await store.read("a/b") == b"new"


async def test_put_rewinds_the_file(store: Store) -> None:
    """A file is stored from its beginning, whatever its position."""
    file = io.BytesIO(os.urandom(12_000_000))
    file.seek(7_000_000)

    await store.put("a/b", file)

    assert await store.read("a/b") == file.getvalue()


async def test_missing_is_none(store: Store) -> None:
    """A missing object is None, and an empty one is not."""
    await store.create("a/b", b"")

    assert await store.read("a") is None
    assert await store.read("a/c") is None
    assert await store.size_bytes("a/c") is None
    assert await store.keys("z/") == ()
    assert await store.read("a/b") == b""


async def test_lists_keys_below(store: Store) -> None:
    """All keys below a prefix are listed in order, and no others."""
    for key in ("clips/b/2", "clips/b/1", "clips/a/1/deep", "clipsnot/a", "other"):
        await store.create(key, b"")

    assert await store.keys("clips/") == ("clips/a/1/deep", "clips/b/1", "clips/b/2")
    assert await store.keys("clips/b/") == ("clips/b/1", "clips/b/2")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a//x", "a/./x"])
async def test_rejects_invalid_keys(store: Store, key: str) -> None:
    """No key leads out of the store, or to an object under another name."""
    for access in (store.read(key), store.create(key, b""), store.put(key, b"")):
        with pytest.raises(ArchiveError):
            await access


class Breaking(io.BytesIO):
    """A file with an unreadable end."""

    def read(self, size: int | None = -1) -> bytes:
        """Read from the first part of an upload only."""
        if self.tell() > 6_000_000:
            raise OSError("The disk is broken")
        return super().read(size)


async def test_put_is_whole_or_nothing(store: Store) -> None:
    """A write that fails leaves the existing object, and no other."""
    await store.put("a/b", b"before")

    with pytest.raises(ArchiveError, match=r"Could not write .*a/b: .*The disk is broken"):
        await store.put("a/b", Breaking(bytes(20_000_000)))

    assert await store.read("a/b") == b"before"
    assert await store.keys("a/") == ("a/b",)


@contextmanager
def full_disk(*, after_bytes: int) -> Iterator[None]:
    """Refuse to let a file grow beyond this size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder: Path) -> list[Path]:
    """Return everything in a folder."""
    return list(folder.rglob("*"))


async def test_full_disk_creates_nothing(tmp_path: Path) -> None:
    """On a full disk a creation raises, leaves neither an object nor a part of one, and can be repeated."""
    store = Store.open(str(tmp_path))

    with full_disk(after_bytes=1000), pytest.raises(ArchiveError, match="Could not create"):
        await store.create("a/b", bytes(2000))

    assert files(tmp_path) == [tmp_path / "a"]
    assert await store.create("a/b", bytes(2000))


def failing_fsync(
    error: int, *, of_folders: bool, then: Callable[[], None] = lambda: None
) -> Callable[[int], None]:
    """Return an fsync that fails for folders or for files, after doing something to the file."""

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is of_folders:
            then()
            raise OSError(error, os.strerror(error))

    return fsync


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP], ids=["EINVAL", "ENOTSUP"])
async def test_accepts_folders_without_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Some file systems cannot flush a folder; that is no error, and the probe passes too."""
    monkeypatch.setattr(os, "fsync", failing_fsync(error, of_folders=True))
    store = Store.open(str(tmp_path))

    await store.probe()

    assert await store.create("a/b", b"record")


@pytest.mark.parametrize(
    "fsync",
    [
        failing_fsync(errno.EIO, of_folders=True),
        failing_fsync(errno.EIO, of_folders=False),
        failing_fsync(errno.EINVAL, of_folders=False),
    ],
    ids=["broken folder", "broken file", "unflushed file"],
)
async def test_reports_failed_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: Callable[[int], None]
) -> None:
    """A record that may not be on disk is an error; the record is whole, and can be read back."""
    monkeypatch.setattr(os, "fsync", fsync)
    store = Store.open(str(tmp_path))

    with pytest.raises(ArchiveError, match="Could not create"):
        await store.create("a/b", b"record")

    assert await store.read("a/b") == b"record"


async def test_late_full_disk_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a network share finds only at the flush that it is full, half a record is removed."""
    monkeypatch.setattr(
        os,
        "fsync",
        failing_fsync(errno.ENOSPC, of_folders=False, then=lambda: os.truncate(tmp_path / "a/b", 3)),
    )
    store = Store.open(str(tmp_path))

    with pytest.raises(ArchiveError, match="No space left"):
        await store.create("a/b", b"record")

    assert await store.read("a/b") is None
    monkeypatch.undo()
    assert await store.create("a/b", b"record")


async def test_probe_leaves_nothing(tmp_path: Path) -> None:
    """Probes of a correct folder, also at once, leave nothing."""
    store = Store.open(str(tmp_path))

    await asyncio.gather(*[store.probe() for _ in range(30)])

    assert files(tmp_path) == []


async def test_abandoned_probe_is_removed(tmp_path: Path) -> None:
    """A probe removes those that killed runs left an hour ago, and not those of other runs at work."""
    store = Store.open(str(tmp_path))
    for name, age in (("killed", 3700.0), ("at-work", 60.0)):
        await store.create(f"probes/{name}", b"")
        os.utime(tmp_path / "probes" / name, (time.time() - age,) * 2)

    await store.probe()

    assert await store.keys("probes/") == ("probes/at-work",)


async def test_probe_refuses_broken_folder(tmp_path: Path) -> None:
    """A folder that cannot be written is refused before anything is spent, with the remedy."""
    (tmp_path / "probes").touch()

    with pytest.raises(SetupError, match=r"Could not create .*Nothing was spent\. Check the folder's"):
        await Store.open(str(tmp_path)).probe()


async def test_probe_refuses_full_disk(tmp_path: Path) -> None:
    """A full disk is found by the probe."""
    with full_disk(after_bytes=0), pytest.raises(SetupError, match="free space"):
        await Store.open(str(tmp_path)).probe()


_BLOCKED: dict[str, Callable[[Store], Awaitable[object]]] = {
    "read": lambda store: store.read("file/a"),
    "size": lambda store: store.size_bytes("file/a"),
    "create": lambda store: store.create("file/a", b""),
    "write": lambda store: store.put("file/a", b""),
    "write file": lambda store: store.put("file/a", io.BytesIO(b"")),
    "write folder": lambda store: store.put("folder", b""),
}


@pytest.mark.parametrize("access", _BLOCKED.values(), ids=_BLOCKED)
async def test_errors_name_the_object(tmp_path: Path, access: Callable[[Store], Awaitable[object]]) -> None:
    """A disk error becomes one line with the object and the reason."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    store = Store.open(str(tmp_path))

    with pytest.raises(ArchiveError, match=rf"^Could not .*{tmp_path}/.*(Not|Is) a directory") as caught:
        await access(store)

    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_signs_only_in_buckets(store: Store) -> None:
    """A folder and a memory have no signed URLs."""
    assert await store.sign("a/b", lifetime=timedelta(hours=1)) is None


def test_repr_shows_the_url() -> None:
    """A repr shows the store's URL."""
    assert repr(Store.open("memory://shown")) == "Store('memory://shown')"


_WRITES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "create": lambda store: store.create("a/b/c", b"content"),
    "put": lambda store: store.put("a/b/c", b"content"),
    "put file": lambda store: store.put("a/b/c", io.BytesIO(b"content")),
}


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
async def test_writes_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Store], Awaitable[object]]
) -> None:
    """The file and its parent folders are flushed, so that a power failure does not undo the write."""
    store = Store.open(str(tmp_path))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    await write(store)

    paths = [tmp_path / "a/b/c", tmp_path / "a/b", tmp_path / "a", tmp_path]
    assert synced == [path.stat().st_ino for path in paths]


async def test_known_folder_is_flushed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders above one that is on disk are not flushed again, until something is deleted."""
    store, synced = Store.open(str(tmp_path)), list[int]()
    await store.create("clips/a/one", b"1")
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    await store.create("clips/a/two", b"2")
    await store.create("clips/b/one", b"3")

    paths = ("clips/a/two", "clips/a", "clips/b/one", "clips/b", "clips")
    assert synced == [(tmp_path / path).stat().st_ino for path in paths]


async def test_deleting_forgets_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a half write was removed, its folder may be a new one, so all folders are flushed again."""
    store, synced = Store.open(str(tmp_path)), list[int]()
    await store.create("a/b/one", b"1")
    spoil = failing_fsync(errno.ENOSPC, of_folders=False, then=lambda: os.truncate(tmp_path / "a/b/two", 0))
    monkeypatch.setattr(os, "fsync", spoil)
    with pytest.raises(ArchiveError):
        await store.create("a/b/two", b"2")
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    await store.create("a/b/two", b"2")

    assert synced == [(tmp_path / path).stat().st_ino for path in ("a/b/two", "a/b", "a", ".")]


_CREATOR = """
import asyncio, json, os, sys
from pathlib import Path
from prefect_seedance.storage.store import Store

async def main(folder, name):
    store = Store.open(folder)
    Path(folder, f"ready-{name}").touch()
    while not os.path.exists(Path(folder, "go")):
        pass
    print(json.dumps([key for key in range(40) if await store.create(f"race/{key}", name.encode())]))

asyncio.run(main(*sys.argv[1:]))
"""


def test_one_process_wins(tmp_path: Path) -> None:
    """Of several processes that create the same objects, exactly one gets True for each."""
    creators = [
        subprocess.Popen([sys.executable, "-c", _CREATOR, str(tmp_path), str(number)], stdout=subprocess.PIPE)
        for number in range(5)
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(creators):
        assert not any(creator.poll() for creator in creators)
    (tmp_path / "go").touch()

    won = [json.loads(creator.communicate(timeout=30)[0]) for creator in creators]

    assert sorted(key for keys in won for key in keys) == list(range(40))
    for number, keys in enumerate(won):
        assert {(tmp_path / "race" / str(key)).read_text() for key in keys} <= {str(number)}
    assert not list((tmp_path / "race").glob("*#*"))


_WRITER = """
import asyncio, io, sys, time
from prefect_seedance.storage.store import Store

class Stuck(io.BytesIO):
    def read(self, size=-1):
        if self.tell() > 12_000_000:
            print("stuck", flush=True)
            time.sleep(60)
        return super().read(size)

asyncio.run(Store.open(sys.argv[1]).put("clip/video", Stuck(bytes(30_000_000))))
"""


async def test_killed_put_leaves_nothing(tmp_path: Path) -> None:
    """A process that is killed during a write leaves no object, and the next process can write it."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(tmp_path), stdout=subprocess.PIPE
    )
    assert writer.stdout
    await writer.stdout.readline()
    writer.kill()
    await writer.communicate()
    store = Store.open(str(tmp_path))

    assert await store.read("clip/video") is None
    assert await store.keys("clip/") == ()
    await store.put("clip/video", io.BytesIO(b"whole"))
    assert await store.read("clip/video") == b"whole"


async def test_sweeps_abandoned_files(tmp_path: Path) -> None:
    """Only incomplete files that are too old to be in use are removed."""
    store = Store.open(str(tmp_path))
    await store.put("clips/a/clip.mp4", b"video")
    await store.put("clips/a/take#2.mp4", b"another")
    for name in ("old#1", "new#1"):
        (tmp_path / "clips/a" / name).write_bytes(b"half")
    os.utime(tmp_path / "clips/a/old#1", (0, 0))
    os.utime(tmp_path / "clips/a/take#2.mp4", (0, 0))

    await store.sweep(["clips/a/", "clips/missing/"])

    left = {path.name for path in (tmp_path / "clips/a").iterdir()}
    assert left == {"clip.mp4", "take#2.mp4", "new#1"}


async def test_sweep_skips_completed_files(tmp_path: Path) -> None:
    """A file that another process completes during the sweep is no error."""
    store = Store.open(str(tmp_path))
    await store.put("clips/a/clip.mp4", b"video")
    (tmp_path / "clips/a/clip.json#1").symlink_to("listed, and then gone")

    await store.sweep(["clips/a/"])

    assert await store.read("clips/a/clip.mp4") == b"video"


async def test_sweep_skips_removed_folders(tmp_path: Path) -> None:
    """A folder that another process removes during the sweep is no error."""
    store = Store.open(str(tmp_path))
    await store.put("clips/a/clip.mp4", b"video")
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            for number in range(20):
                (tmp_path / f"clips/a/{number}").mkdir()
            for number in range(20):
                (tmp_path / f"clips/a/{number}").rmdir()

    with ThreadPoolExecutor(1) as other:
        coming = other.submit(come_and_go)
        try:
            for _ in range(200):
                await store.sweep(["clips/a/"])
        finally:
            is_over.set()
    coming.result()


async def test_fetches_into_file(tmp_path: Path) -> None:
    """An object's content replaces the file's; a missing object leaves it unchanged."""
    store = Store.open(str(tmp_path))
    await store.put("clip.mp4", b"video")
    file = io.BytesIO(b"something longer")

    assert await store.fetch("clip.mp4", file) == hashlib.sha256(b"video").hexdigest()
    assert file.getvalue() == b"video"
    assert await store.fetch("missing.mp4", file) is None
    assert file.getvalue() == b"video"


async def test_delete_needs_no_object(tmp_path: Path) -> None:
    """A deleted object is gone, and deleting it again is no error."""
    store = Store.open(str(tmp_path))
    await store.put("films/former.mp4", b"film")

    for _ in range(2):
        await store.delete("films/former.mp4")

    assert await store.read("films/former.mp4") is None
