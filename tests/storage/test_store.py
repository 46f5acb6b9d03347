import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}")


async def test_reads_what_was_written(store: Store) -> None:
    """What is created or put under a key is read under it."""
    created = await store.create("a/b/c.json", b"one")
    await store.put("a/b/d.mp4", b"two", media_type="video/mp4")
    await store.put("a/e", io.BytesIO(b"three"))

    assert created
    assert [await store.read(key) for key in ("a/b/c.json", "a/b/d.mp4", "a/e")] == [b"one", b"two", b"three"]
    assert await store.size_bytes("a/e") == 5


async def test_first_creation_stands(store: Store) -> None:
    """Creating what exists changes nothing and says so."""
    await store.create("a/b", b"first")

    assert not await store.create("a/b", b"second")
    assert await store.read("a/b") == b"first"


async def test_one_creation_wins(store: Store) -> None:
    """Of fifty that create at once, one is told that it did, and its content is there."""
    won = await asyncio.gather(*[store.create("a/b", b"%d" % number) for number in range(50)])

    assert sum(won) == 1
    assert await store.read("a/b") == b"%d" % won.index(True)


async def test_put_overwrites(store: Store) -> None:
    """What is put stands, whatever was there."""
    await store.put("a/b", b"something long")
    await store.put("a/b", b"new")

    assert await store.read("a/b") == b"new"


async def test_put_sends_from_the_beginning(store: Store) -> None:
    """Wherever somebody left off reading a file, all of it is stored."""
    file = io.BytesIO(os.urandom(12_000_000))
    file.seek(7_000_000)

    await store.put("a/b", file)

    assert await store.read("a/b") == file.getvalue()


async def test_missing_is_none(store: Store) -> None:
    """What is not there is no error."""
    await store.create("a/b", b"")

    assert await store.read("a") is None
    assert await store.read("a/c") is None
    assert await store.size_bytes("a/c") is None
    assert await store.keys("z/") == ()
    assert await store.read("a/b") == b""


async def test_lists_keys_below(store: Store) -> None:
    """Everything below a prefix is listed in order, and nothing beside it."""
    for key in ("clips/b/2", "clips/b/1", "clips/a/1/deep", "clipsnot/a", "other"):
        await store.create(key, b"")

    assert await store.keys("clips/") == ("clips/a/1/deep", "clips/b/1", "clips/b/2")
    assert await store.keys("clips/b/") == ("clips/b/1", "clips/b/2")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a//x", "a/./x"])
async def test_refuses_odd_keys(store: Store, key: str) -> None:
    """No key leads out of the store or to an object by another name."""
    for doing in (store.read(key), store.create(key, b""), store.put(key, b"")):
        with pytest.raises(ArchiveError):
            await doing


class Breaking(io.BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Read, but not beyond what fits into the first part."""
        if self.tell() > 6_000_000:
            raise OSError("The disk is broken")
        return super().read(size)


async def test_put_is_whole_or_nothing(store: Store) -> None:
    """A transfer that breaks leaves what was there, and nothing beside it."""
    await store.put("a/b", b"before")

    with pytest.raises(ArchiveError, match=r"Could not write .*a/b: .*The disk is broken"):
        await store.put("a/b", Breaking(bytes(20_000_000)))

    assert await store.read("a/b") == b"before"
    assert await store.keys("a/") == ("a/b",)


@pytest.mark.parametrize(
    "name", ["plain", "with space", "ümläut", "per%41cent", "ha#1sh", "que?ry", "deep/er"]
)
async def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    """A folder's name is taken as it is, and the folder is made."""
    store = Store.open(str(tmp_path / name))

    await store.create("a/b", b"content")

    assert (tmp_path / name / "a" / "b").read_bytes() == b"content"
    assert await store.keys("a/") == ("a/b",)
    assert store.link("a/b") == str(tmp_path / name / "a" / "b")


async def test_opens_file_urls(tmp_path: Path) -> None:
    """A folder can be given as a URL."""
    store = Store.open((tmp_path / "with space").as_uri())

    assert store.url == str(tmp_path / "with space")


def test_opens_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is named in full, whatever the process does later; a tilde is one's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Store.open("archive").url == str(tmp_path / "archive")
    assert Store.open("~/mine").url == str(tmp_path / "mine")


async def test_memory_is_shared() -> None:
    """Whoever names a memory sees the same, and another name is another memory."""
    await Store.open("memory://shared").create("a", b"content")

    assert await Store.open("memory://shared").read("a") == b"content"
    assert await Store.open("memory://other").read("a") is None


@pytest.mark.parametrize(
    "url", ["", "ftp://host/a", "s3://", "gs://", "az://", "file://server/share", "nul\0", "~no-one-here/a"],
    ids=lambda url: url.replace("\0", "0") or "empty",
)  # fmt: skip
def test_refuses_other_places(url: str) -> None:
    """What is no place to store in is refused at once, in one readable line."""
    with pytest.raises(SetupError) as caught:
        Store.open(url)

    assert "\n" not in str(caught.value)


def test_refuses_files_as_folders(tmp_path: Path) -> None:
    """A folder that cannot be made is told by name."""
    (tmp_path / "file").touch()

    with pytest.raises(SetupError, match=f"{tmp_path}/file/archive.*Not a directory"):
        Store.open(str(tmp_path / "file" / "archive"))


_BLOCKED: dict[str, Callable[[Store], Awaitable[object]]] = {
    "read": lambda store: store.read("file/a"),
    "look": lambda store: store.size_bytes("file/a"),
    "create": lambda store: store.create("file/a", b""),
    "write": lambda store: store.put("file/a", b""),
    "write file": lambda store: store.put("file/a", io.BytesIO(b"")),
    "write folder": lambda store: store.put("folder", b""),
}


@pytest.mark.parametrize("doing", _BLOCKED.values(), ids=_BLOCKED)
async def test_says_what_failed(tmp_path: Path, doing: Callable[[Store], Awaitable[object]]) -> None:
    """Trouble of the disk is one readable line that names the place and the reason."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    store = Store.open(str(tmp_path))

    with pytest.raises(ArchiveError, match=rf"^Could not .*{tmp_path}/.*(Not|Is) a directory") as caught:
        await doing(store)

    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_signs_only_in_buckets(store: Store) -> None:
    """A folder and a memory have no address that anyone could fetch from."""
    assert await store.sign("a/b", lifetime=timedelta(hours=1)) is None


def test_repr_names_the_place() -> None:
    """A store can be told from another."""
    assert repr(Store.open("memory://shown")) == "Store('memory://shown')"


@pytest.mark.parametrize("writing", ["create", "put", "put file"])
async def test_writing_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: str
) -> None:
    """A power cut does not undo what a folder was told to keep: the file and the folders that lead to it."""
    store = Store.open(str(tmp_path))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    await {
        "create": lambda: store.create("a/b/c", b"content"),
        "put": lambda: store.put("a/b/c", b"content"),
        "put file": lambda: store.put("a/b/c", io.BytesIO(b"content")),
    }[writing]()

    places = [tmp_path / "a/b/c", tmp_path / "a/b", tmp_path / "a", tmp_path]
    assert synced == [place.stat().st_ino for place in places]


_RIVAL = """
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
    """Of several processes that create the same objects, exactly one is told so for each."""
    rivals = [
        subprocess.Popen([sys.executable, "-c", _RIVAL, str(tmp_path), str(number)], stdout=subprocess.PIPE)
        for number in range(5)
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(rivals):
        assert not any(rival.poll() for rival in rivals)
    (tmp_path / "go").touch()

    won = [json.loads(rival.communicate(timeout=30)[0]) for rival in rivals]

    assert sorted(key for keys in won for key in keys) == list(range(40))
    for number, keys in enumerate(won):
        assert {(tmp_path / "race" / str(key)).read_text() for key in keys} <= {str(number)}
    assert not list((tmp_path / "race").glob("*#*"))


_VICTIM = """
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
    """A process that is killed in the middle of writing leaves no object, and the next can write it."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, str(tmp_path), stdout=subprocess.PIPE
    )
    assert victim.stdout
    await victim.stdout.readline()
    victim.kill()
    await victim.communicate()
    store = Store.open(str(tmp_path))

    assert await store.read("clip/video") is None
    assert await store.keys("clip/") == ()
    await store.put("clip/video", io.BytesIO(b"whole"))
    assert await store.read("clip/video") == b"whole"


async def test_sweeps_abandoned_files(tmp_path: Path) -> None:
    """What a writer that died left half-written goes once nobody can be writing it, and nothing else."""
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


async def test_sweeping_passes_over_what_vanishes(tmp_path: Path) -> None:
    """A file that another process finishes at this moment is none that it left behind."""
    store = Store.open(str(tmp_path))
    await store.put("clips/a/clip.mp4", b"video")
    (tmp_path / "clips/a/clip.json#1").symlink_to("listed, and then gone")

    await store.sweep(["clips/a/"])

    assert await store.read("clips/a/clip.mp4") == b"video"


async def test_fetches_into_file(tmp_path: Path) -> None:
    """An object's content replaces whatever the file held; a missing one leaves it alone."""
    store = Store.open(str(tmp_path))
    await store.put("clip.mp4", b"video")
    file = io.BytesIO(b"something longer")

    assert await store.fetch("clip.mp4", file) == hashlib.sha256(b"video").hexdigest()
    assert file.getvalue() == b"video"
    assert await store.fetch("missing.mp4", file) is None
    assert file.getvalue() == b"video"
