"""The server of an archive's images."""

from pathlib import Path

import httpx
import pytest

from prefect_seedance.receiver.images import create_images_app

_NAME = "0" * 64 + ".png"
_CONVERTED = "1" * 64 + "-crop-1280x720.png"


def connected(folder: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_images_app(folder))
    return httpx.AsyncClient(transport=transport, base_url="http://images.example")


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    """Return a client of a server with two images, beside files that nobody may read."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (_NAME, _CONVERTED, "notes.txt"):
        (folder / name).write_bytes(b"image")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / ("2" * 64 + ".png")).symlink_to(tmp_path / "secret.png")
    (folder / ("3" * 64 + ".png")).mkdir()
    return connected(folder)


@pytest.mark.parametrize(
    ("suffix", "kind"), [("mp4", "video/mp4"), ("mov", "video/quicktime"), ("mp3", "audio/mpeg")]
)
async def test_sends_media(suffix: str, kind: str, tmp_path: Path) -> None:
    """Hosted videos and audio files are sent like images."""
    name = f"{'5' * 64}.{suffix}"
    (tmp_path / name).write_bytes(b"media")

    found = await connected(tmp_path).get(f"/images/{name}")

    assert (found.status_code, found.content, found.headers["content-type"]) == (200, b"media", kind)


@pytest.mark.parametrize("name", [_NAME, _CONVERTED], ids=["original", "converted"])
async def test_sends_images(name: str, client: httpx.AsyncClient) -> None:
    """A hosted image is sent with its type, whole or in part."""
    whole = await client.get(f"/images/{name}")
    part = await client.get(f"/images/{name}", headers={"Range": "bytes=1-2"})

    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, b"image", "image/png")
    assert (part.status_code, part.content) == (206, b"ma")
    assert (await client.head(f"/images/{name}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/images/",
        "/images/notes.txt",
        "/images/../secret.png",
        "/images/%2e%2e%2fsecret.png",
        "/images/..%2Fsecret.png",
        f"/images/{'2' * 64}.png",
        f"/images/{'3' * 64}.png",
        f"/images/{'4' * 64}.png",
        f"/{_NAME}",
        "/",
    ],
    ids=["list", "other", "parent", "encoded", "mixed", "symlink", "folder", "missing", "above", "root"],
)
async def test_sends_nothing_else(path: str, client: httpx.AsyncClient) -> None:
    """Only files with the name of a hosted image are sent, and none is listed."""
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_changes_nothing(method: str, client: httpx.AsyncClient) -> None:
    """The server is read-only."""
    assert (await client.request(method, f"/images/{_NAME}")).status_code == 405


async def test_missing_folder_is_empty(tmp_path: Path) -> None:
    """A new archive has no images yet."""
    client = connected(tmp_path / "images")

    assert (await client.get(f"/images/{_NAME}")).status_code == 404
