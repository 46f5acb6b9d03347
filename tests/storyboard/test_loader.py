import json
import secrets
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import MOST_BYTES
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.schema import ClipList, ClipSpec

BOARD = """
title: Clouds
shots:
  - {image: dawn.png, prompt: drifting clouds}
  - {image: noon.png}
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and moves what is asked for below /moved."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/here/"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


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
    """Where the folder's parent is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_reads_a_file(folder: Path) -> None:
    """A path is read, and its images are found beside it."""
    reading = await load_storyboard(str(folder / "board.yaml"))

    assert reading.title == "Clouds"
    assert [picture.stem for picture in reading.clips[0].images] == ["dawn", "noon"]


async def test_reads_a_folder(folder: Path) -> None:
    """A folder of images is a storyboard with one prompt."""
    (folder / "board.yaml").unlink()

    reading = await load_storyboard(folder, prompt="drifting clouds")

    assert [clip.name for clip in reading.clips] == ["dawn → noon"]
    assert reading.clips[0].prompt == "drifting clouds"


async def test_reads_an_object() -> None:
    """What would stand in a file will do as well."""
    clips = ClipList(title="Clouds", clips=(ClipSpec(prompt="drifting clouds"),))

    reading = await load_storyboard(clips)

    assert reading.storyboard == clips
    assert reading.clips[0].mode == "text-to-video"


@pytest.mark.parametrize("path", ["here", "moved"])
async def test_reads_a_url(site: str, path: str) -> None:
    """A storyboard from the internet has its images where it was found, also after a redirect."""
    reading = await load_storyboard(f"{site}/{path}/board.yaml")

    assert [picture.source for picture in reading.clips[0].images] == [
        f"{site}/here/dawn.png",
        f"{site}/here/noon.png",
    ]


async def test_missing_url_is_said(site: str) -> None:
    """A URL that serves nothing is an error that names it."""
    with pytest.raises(StoryboardError, match=r"/here/none\.yaml cannot be read \(404\)"):
        await load_storyboard(f"{site}/here/none.yaml")


async def test_huge_url_is_refused(site: str, folder: Path) -> None:
    """A file without end is read no further than a storyboard can be long."""
    (folder / "huge.json").write_text(json.dumps(["x" * 5_000_000]), encoding="utf-8")

    with pytest.raises(StoryboardError, match=r"huge\.json"):
        await load_storyboard(f"{site}/here/huge.json")


async def test_reading_is_not_read_again(folder: Path) -> None:
    """What was read once is taken as it is, though the file is gone; but only for the same model."""
    reading = await load_storyboard(folder / "board.yaml")
    (folder / "board.yaml").unlink()

    assert await load_storyboard(reading) is reading
    with pytest.raises(SetupError, match="Clouds was read for seedance-1-5-pro, and the account has another"):
        await load_storyboard(reading, model="another")


@pytest.fixture
async def bucket(folder: Path) -> str:
    """A store with the storyboard and its two images, and one elsewhere."""
    place = f"memory://{secrets.token_hex(8)}"
    store = Store.open(place)
    for name in ("board.yaml", "dawn.png", "noon.png"):
        await store.put(f"boards/{name}", (folder / name).read_bytes())
    await store.put("elsewhere/dusk 1#%.png", (folder / "dawn.png").read_bytes())
    return place


async def _same(source: str, folder: Path, *, prompt: str = "") -> None:
    """Make sure that a storyboard in a store asks for the very clips that a local one asks for."""
    local = await load_storyboard(folder if prompt else folder / "board.yaml", prompt=prompt)
    stored = await load_storyboard(source, prompt=prompt)

    assert [clip.name for clip in stored.clips] == [clip.name for clip in local.clips]
    assert [[each.identity for each in clip.images] for clip in stored.clips] == [
        [each.identity for each in clip.images] for clip in local.clips
    ]


async def test_reads_a_storyboard_in_a_store(bucket: str, folder: Path) -> None:
    """Images are found beside it, and known by content, as on a disk."""
    await _same(f"{bucket}/boards/board.yaml", folder)

    (clip,) = (await load_storyboard(f"{bucket}/boards/board.yaml")).clips

    assert clip.images[0].source == f"{bucket}/boards/dawn.png"


@pytest.mark.parametrize("end", ["boards", "boards/"])
async def test_reads_a_folder_in_a_store(bucket: str, folder: Path, end: str) -> None:
    """Images below one prefix are a storyboard with one prompt."""
    await _same(f"{bucket}/{end}", folder, prompt="drifting clouds")


async def test_stored_storyboard_stays_in_its_folder(bucket: str) -> None:
    """Only by leave does a storyboard name an object outside its folder."""
    board = BOARD.replace("noon.png", "'/elsewhere/dusk 1#%.png'").encode()
    await Store.open(bucket).put("boards/board.yaml", board)

    with pytest.raises(StoryboardError, match=r"board.yaml:5: shots\[1\].image: .* leads out of"):
        await load_storyboard(f"{bucket}/boards/board.yaml")
    (clip,) = (await load_storyboard(f"{bucket}/boards/board.yaml", allow_outside=True)).clips

    assert clip.name == "dawn → dusk 1#%"


@pytest.mark.parametrize(
    ("end", "says"),
    [
        pytest.param("boards/bord.yaml", r"no .*/boards/bord\.yaml; did you mean 'board\.yaml'", id="name"),
        pytest.param("bords/board.yaml", r"there is no .*/bords/board\.yaml$", id="folder"),
        pytest.param("boards", "needs a prompt", id="folder without a prompt"),
        pytest.param("", "holds no images", id="whole store"),
        pytest.param("elsewhere/huge.yaml", "is larger than 1000 kB, as no storyboard is", id="too large"),
        pytest.param("elsewhere/dusk 1#%.png", "is not UTF-8", id="image"),
    ],
)
async def test_stored_mistakes_are_told(bucket: str, end: str, says: str) -> None:
    """What is wrong with the name of an object is said like that of a file."""
    await Store.open(bucket).put("elsewhere/huge.yaml", b" " * 1_000_001)

    with pytest.raises(StoryboardError, match=says):
        await load_storyboard(f"{bucket}/{end}")


async def test_stored_images_are_looked_into(bucket: str) -> None:
    """Missing, huge and broken images in a store are mistakes with their lines, all at once."""
    store = Store.open(bucket)
    shots = "".join(f"  - {{image: {name}, prompt: waves}}\n" for name in ("dwan.png", "huge.png", "cut.png"))
    await store.put("boards/board.yaml", f"shots:\n{shots}".encode())
    await store.put("boards/huge.png", bytes(MOST_BYTES + 1))
    await store.put("boards/cut.png", (await store.read("boards/dawn.png") or b"")[:60])

    with pytest.raises(StoryboardError) as raised:
        await load_storyboard(f"{bucket}/boards/board.yaml")

    told = str(raised.value).splitlines()
    assert [line.split(": ")[:2] for line in told] == [
        [f"{bucket}/boards/board.yaml:{number + 2}", f"shots[{number}].image"] for number in range(3)
    ]
    assert told[0].endswith("did you mean 'dawn.png'?")
    assert "has 100,000,001 bytes" in told[1]
    assert "is a broken PNG" in told[2]


async def test_unknown_place_is_told() -> None:
    """Where no such store can be opened, the error says so."""
    with pytest.raises(SetupError, match="'block:films' is no place"):
        await load_storyboard("block:films/board.yaml")
