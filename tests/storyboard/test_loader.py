import asyncio
import json
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.folder import Folder, list_folder
from prefect_seedance.storyboard.image_inspection import MAX_IMAGE_BYTES
from prefect_seedance.storyboard.loader import document_from_folder, load_storyboard
from prefect_seedance.storyboard.parser import parse_storyboard
from prefect_seedance.storyboard.schema import ClipList, ClipSpec

BOARD = """
title: Clouds
shots:
  - {image: dawn.png, prompt: drifting clouds}
  - {image: noon.png}
"""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and redirects requests below /moved."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/here/"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


LOCAL = HostPolicy(allow_loopback=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storyboard with its two images."""
    (tmp_path / "here").mkdir()
    for name, colour in {"dawn": "orange", "noon": "blue"}.items():
        Image.new("RGB", (64, 36), colour).save(tmp_path / "here" / f"{name}.png")
    (tmp_path / "here" / "board.yaml").write_text(BOARD, encoding="utf-8")
    return tmp_path / "here"


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    """The URL at which the folder's parent is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_loads_a_file(folder: Path) -> None:
    """A local storyboard's images are relative to its folder."""
    parsed = await load_storyboard(str(folder / "board.yaml"))

    assert parsed.title == "Clouds"
    assert [image.stem for image in parsed.clips[0].images] == ["dawn", "noon"]


async def test_loads_a_folder(folder: Path) -> None:
    """A folder of images is a storyboard with one prompt."""
    (folder / "board.yaml").unlink()

    parsed = await load_storyboard(folder, prompt="drifting clouds")

    assert [clip.name for clip in parsed.clips] == ["dawn → noon"]
    assert parsed.clips[0].prompt == "drifting clouds"


async def test_loads_a_model() -> None:
    """A storyboard or list of clips may be passed as its model."""
    clips = ClipList(title="Clouds", clips=(ClipSpec(prompt="drifting clouds"),))

    parsed = await load_storyboard(clips)

    assert parsed.storyboard == clips
    assert parsed.clips[0].mode == "text-to-video"


@pytest.mark.parametrize("path", ["here", "moved"])
async def test_loads_a_url(site: str, path: str) -> None:
    """Images of a downloaded storyboard are relative to its URL after redirects."""
    parsed = await load_storyboard(f"{site}/{path}/board.yaml", policy=LOCAL)

    assert [image.source for image in parsed.clips[0].images] == [
        f"{site}/here/dawn.png",
        f"{site}/here/noon.png",
    ]


async def test_missing_url_is_an_error(site: str) -> None:
    """The error names the URL and the status."""
    with pytest.raises(StoryboardError, match=r"/here/none\.yaml cannot be read \(status 404\)"):
        await load_storyboard(f"{site}/here/none.yaml", policy=LOCAL)


async def test_huge_url_is_refused(site: str, folder: Path) -> None:
    """A download stops at the size limit of storyboards."""
    (folder / "huge.json").write_text(json.dumps(["x" * 5_000_000]), encoding="utf-8")

    with pytest.raises(StoryboardError, match=r"huge\.json"):
        await load_storyboard(f"{site}/here/huge.json", policy=LOCAL)


async def test_parsed_storyboard_is_returned(folder: Path) -> None:
    """A parsed storyboard is not loaded again, and is valid for its model only."""
    parsed = await load_storyboard(folder / "board.yaml")
    (folder / "board.yaml").unlink()

    assert await load_storyboard(parsed) is parsed
    with pytest.raises(
        SetupError, match="Clouds was parsed for seedance-1-5-pro, but the account uses another"
    ):
        await load_storyboard(parsed, model="another")


@pytest.fixture
async def bucket(folder: Path) -> str:
    """A store with the storyboard, its two images, and an image in another folder."""
    place = f"memory://{secrets.token_hex(8)}"
    store = Store.open(place)
    for name in ("board.yaml", "dawn.png", "noon.png"):
        await store.put(f"boards/{name}", (folder / name).read_bytes())
    await store.put("elsewhere/dusk 1#%.png", (folder / "dawn.png").read_bytes())
    return place


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that accepts small files only, in a file of models."""
    file = tmp_path / "models.yaml"
    file.write_text(
        "strict: {like: seedance-2-0, video_files: {formats: [MP4], max_bytes: 1000}, "
        "audio_files: {formats: [MP3], max_bytes: 2000}}"
    )
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    return "strict"


async def assert_same(source: str, folder: Path, *, prompt: str = "") -> None:
    """Check that a stored storyboard gives the same clips as the local one."""
    local = await load_storyboard(folder if prompt else folder / "board.yaml", prompt=prompt)
    stored = await load_storyboard(source, prompt=prompt)

    assert [clip.name for clip in stored.clips] == [clip.name for clip in local.clips]
    assert [[image.identity for image in clip.images] for clip in stored.clips] == [
        [each.identity for each in clip.images] for clip in local.clips
    ]


async def test_loads_a_stored_file(bucket: str, folder: Path) -> None:
    """Images of a stored storyboard are relative to it and identified by content."""
    await assert_same(f"{bucket}/boards/board.yaml", folder)

    (clip,) = (await load_storyboard(f"{bucket}/boards/board.yaml")).clips

    assert clip.images[0].source == f"{bucket}/boards/dawn.png"


@pytest.mark.parametrize("end", ["boards", "boards/"])
async def test_loads_a_stored_folder(bucket: str, folder: Path, end: str) -> None:
    """A stored folder of images is a storyboard with one prompt."""
    await assert_same(f"{bucket}/{end}", folder, prompt="drifting clouds")


async def test_stored_storyboard_stays_in_its_folder(bucket: str) -> None:
    """A storyboard names an object outside its folder only if that is permitted."""
    board = BOARD.replace("noon.png", "'/elsewhere/dusk 1#%.png'").encode()
    await Store.open(bucket).put("boards/board.yaml", board)

    with pytest.raises(StoryboardError, match=r"board.yaml:5: shot 2, image: .* leads out of"):
        await load_storyboard(f"{bucket}/boards/board.yaml")
    (clip,) = (await load_storyboard(f"{bucket}/boards/board.yaml", allow_outside=True)).clips

    assert clip.name == "dawn → dusk 1#%"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("boards/bord.yaml", r"no .*/boards/bord\.yaml; did you mean 'board\.yaml'", id="name"),
        pytest.param("bords/board.yaml", r"there is no .*/bords/board\.yaml$", id="folder"),
        pytest.param("boards", "needs a prompt", id="folder without a prompt"),
        pytest.param("", "contains no images", id="whole store"),
        pytest.param("elsewhere/huge.yaml", "is larger than 1000 kB", id="too large"),
        pytest.param("elsewhere/dusk 1#%.png", "is a PNG image, not a storyboard", id="image"),
    ],
)
async def test_missing_object_is_an_error(bucket: str, path: str, message: str) -> None:
    """Errors about a stored storyboard are like those about a file."""
    await Store.open(bucket).put("elsewhere/huge.yaml", b" " * 1_000_001)

    with pytest.raises(StoryboardError, match=message):
        await load_storyboard(f"{bucket}/{path}")


async def test_stored_images_are_inspected(bucket: str) -> None:
    """Missing, oversized and damaged images in a store are reported at once, with their lines."""
    store = Store.open(bucket)
    shots = "".join(f"  - {{image: {name}, prompt: waves}}\n" for name in ("dwan.png", "huge.png", "cut.png"))
    await store.put("boards/board.yaml", f"shots:\n{shots}".encode())
    await store.put("boards/huge.png", bytes(MAX_IMAGE_BYTES + 1))
    await store.put("boards/cut.png", (await store.read("boards/dawn.png") or b"")[:60])

    with pytest.raises(StoryboardError) as raised:
        await load_storyboard(f"{bucket}/boards/board.yaml")

    errors = str(raised.value).splitlines()
    assert [line.split(": ")[:2] for line in errors] == [
        [f"{bucket}/boards/board.yaml:{number + 2}", f"shot {number + 1}, image"] for number in range(3)
    ]
    assert errors[0].endswith("did you mean 'dawn.png'?")
    assert "has 100,000,001 bytes" in errors[1]
    assert "is a damaged PNG" in errors[2]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose content is read from any store."""
    keys, original = [], Store.read

    async def record(store: Store, key: str) -> bytes | None:
        keys.append(key)
        return await original(store, key)

    monkeypatch.setattr(Store, "read", record)
    return keys


@pytest.mark.parametrize(
    ("field", "name", "size", "message"),
    [
        ("videos", "pan.mp4", 1001, "has 1,001 bytes; a video that is a reference may have 1,000. Export"),
        ("audios", "waves.mp3", 2001, "has 2,001 bytes; an audio file that is a reference may have 2,000. "),
        ("images", "look.png", MAX_IMAGE_BYTES + 1, "the limit is 100,000,000. Save a smaller file"),
        ("videos", "cafe\u0301.mp4", 1001, "a video that is a reference may have 1,000. Export"),
    ],
    ids=["video", "sound", "image", "other encoding"],
)
async def test_large_objects_are_not_read(
    field: str,
    name: str,
    size: int,
    message: str,
    bucket: str,
    read: list[str],
    folder: Path,
    strict: str,
) -> None:
    """A file above the limit of its kind is refused before it is downloaded, in the words for local files."""
    named = unicodedata.normalize("NFC", name)
    board = {"clips": [{"prompt": "waves", "model": strict, "references": {field: [named]}}]}
    content = json.dumps(board).encode()
    await Store.open(bucket).put("boards/board.json", content)
    await Store.open(bucket).put(f"boards/{name}", bytes(size))
    (folder / "board.json").write_bytes(content)
    (folder / name).write_bytes(bytes(size))

    for source in (f"{bucket}/boards/board.json", str(folder / "board.json")):
        with pytest.raises(StoryboardError) as refusal:
            await load_storyboard(source, model=strict)
        assert message in str(refusal.value)

    assert read == ["boards/board.json"]


async def test_large_limits_are_used(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    """A file that its model accepts is read from a store even if it is larger than images may be."""
    file = tmp_path / "models.yaml"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    file.write_text("lenient: {like: seedance-2-0, video_files: {formats: [MP4], max_bytes: 200000000}}")
    board = {"clips": [{"prompt": "waves", "references": {"videos": ["pan.mp4"]}}]}
    await Store.open(bucket).put("boards/board.json", json.dumps(board).encode())
    await Store.open(bucket).put("boards/pan.mp4", bytes(MAX_IMAGE_BYTES + 1))

    with pytest.raises(StoryboardError, match="is a file of zeros"):
        await load_storyboard(f"{bucket}/boards/board.json", model="lenient")

    assert read[-1] == "boards/pan.mp4"


class Waiting(Store):
    """A store whose images are not read before they may be."""

    may_read = asyncio.Event()
    begun: ClassVar[list[str]] = []

    async def read(self, key: str) -> bytes | None:
        if key.endswith(".png"):
            self.begun.append(key)
            await self.may_read.wait()
        return await super().read(key)


async def test_cancelled_loading_reads_no_more(bucket: str) -> None:
    """If loading is cancelled, the images whose reading has not begun are not read."""
    shots = [{"image": f"{number}.png", "prompt": "waves"} for number in range(9)]
    await Store.open(bucket).put("boards/board.json", json.dumps({"shots": shots}).encode())
    for number in range(9):
        await Store.open(bucket).put(f"boards/{number}.png", b"image")

    async def opener(place: str) -> Store:
        return Waiting.open(place)

    loading = asyncio.create_task(load_storyboard(f"{bucket}/boards/board.json", opener=opener))
    while len(Waiting.begun) < 2:
        await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    Waiting.may_read.set()
    while any(thread.name.startswith("seedance-inspect") for thread in threading.enumerate()):
        await asyncio.sleep(0)

    assert len(Waiting.begun) == 2


async def test_unknown_store_is_an_error() -> None:
    """A store that cannot be opened is a set-up error."""
    with pytest.raises(SetupError, match="'block:films' is not a folder or bucket"):
        await load_storyboard("block:films/board.yaml")


def test_folder_is_in_natural_order(tmp_path: Path) -> None:
    """Images are in the natural order of their names, and hidden files are skipped."""
    folder = tmp_path / "Night Walk"
    folder.mkdir()
    for name in ("scene 10.png", "Scene 2.png", "scene 1.png", ".hidden.png"):
        Image.new("RGB", (16, 9)).save(folder / name)
    (folder / "notes.txt").touch()

    parsed = parse_storyboard(document_from_folder(list_folder(folder), defaults={"prompt": "walking on"}))

    assert parsed.title == "Night Walk"
    assert [clip.name for clip in parsed.clips] == [
        "scene 1 → Scene 2",
        "Scene 2 → scene 10",
    ]
    assert {clip.prompt for clip in parsed.clips} == {"walking on"}


@pytest.mark.parametrize(
    ("files", "prompt", "message"),
    [
        pytest.param(["notes.txt"], "waves", r"contains no images.*notes.txt \(a text", id="no images"),
        pytest.param(["a.png"], "waves", "has one shot", id="one image"),
        pytest.param(["a.png", "b.png"], " ", "needs a prompt", id="no prompt"),
        pytest.param(["a.png", "b.gif", "c.png"], "waves", "b.gif is a GIF image", id="another format"),
        pytest.param(["a.png", "b.png"], "ab", "has 2 characters", id="short prompt"),
    ],
)
def test_folder_errors(tmp_path: Path, files: list[str], prompt: str, message: str) -> None:
    """A folder that gives no film is an error, and no image is skipped silently."""
    for name in files:
        if name.endswith(".txt"):
            (tmp_path / name).write_text("sea")
        else:
            Image.new("RGB", (16, 9)).save(tmp_path / name)

    with pytest.raises(StoryboardError, match=message):
        parse_storyboard(document_from_folder(list_folder(tmp_path), defaults={"prompt": prompt}))


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A folder that cannot be listed is an error with the reason."""
    with pytest.raises(StoryboardError, match="No such file"):
        list_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("folder", "image"), [("board\udcff", "a.png"), ("board", "a\udcff.png")], ids=["folder", "image"]
)
def test_refuses_names_without_encoding(folder: str, image: str) -> None:
    """A file or folder whose name is not UTF-8 is refused with the remedy: it would name a clip."""
    with pytest.raises(StoryboardError, match=r"The name '.*\\udcff.*' is not valid UTF-8; rename the file"):
        document_from_folder(
            Folder(place=Path(folder), images=(image, "b.png"), others={}), defaults={"prompt": "waves"}
        )


async def test_dict_is_a_storyboard() -> None:
    """A dict of the form of a file is read like the file, mistakes included."""
    parsed = await load_storyboard({"title": "Clouds", "clips": [{"prompt": "drifting clouds"}]})

    assert (parsed.title, [clip.prompt for clip in parsed.clips]) == ("Clouds", ["drifting clouds"])
    with pytest.raises(StoryboardError, match="promt"):
        await load_storyboard({"clips": [{"promt": "drifting clouds"}]})
