import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.sources import open_source
from prefect_seedance.storyboard import ClipList, ClipSpec

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
    reading = await open_source(str(folder / "board.yaml"))

    assert reading.title == "Clouds"
    assert [picture.stem for picture in reading.clips[0].pictures] == ["dawn", "noon"]


async def test_reads_a_folder(folder: Path) -> None:
    """A folder of images is a storyboard with one prompt."""
    (folder / "board.yaml").unlink()

    reading = await open_source(folder, prompt="drifting clouds")

    assert [clip.name for clip in reading.clips] == ["dawn → noon"]
    assert reading.clips[0].prompt == "drifting clouds"


async def test_reads_an_object() -> None:
    """What would stand in a file will do as well."""
    clips = ClipList(title="Clouds", clips=(ClipSpec(prompt="drifting clouds"),))

    reading = await open_source(clips)

    assert reading.words == clips
    assert reading.clips[0].mode == "text-to-video"


@pytest.mark.parametrize("path", ["here", "moved"])
async def test_reads_a_url(site: str, path: str) -> None:
    """A storyboard from the internet has its images where it was found, also after a redirect."""
    reading = await open_source(f"{site}/{path}/board.yaml")

    assert [picture.source for picture in reading.clips[0].pictures] == [
        f"{site}/here/dawn.png",
        f"{site}/here/noon.png",
    ]


async def test_missing_url_is_said(site: str) -> None:
    """A URL that serves nothing is an error that names it."""
    with pytest.raises(StoryboardError, match=r"/here/none\.yaml cannot be read \(404\)"):
        await open_source(f"{site}/here/none.yaml")


async def test_huge_url_is_refused(site: str, folder: Path) -> None:
    """A file without end is read no further than a storyboard can be long."""
    (folder / "huge.json").write_text(json.dumps(["x" * 5_000_000]), encoding="utf-8")

    with pytest.raises(StoryboardError, match=r"huge\.json"):
        await open_source(f"{site}/here/huge.json")
