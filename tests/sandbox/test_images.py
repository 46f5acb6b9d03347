"""Images that the sandbox cannot use."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.sandbox.conftest import Client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "fine.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "moving.gif")
    (tmp_path / "large.png").write_bytes((tmp_path / "fine.png").read_bytes() + bytes(10_000_000))
    (tmp_path / "broken.png").write_bytes((tmp_path / "fine.png").read_bytes()[:80])
    (tmp_path / "page.jpg").write_text("<html>")
    return tmp_path


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param("http://sandbox.test/hosted/nowhere.png", "INVALID_IMAGE_URL", id="not found"),
        pytest.param("http://127.0.0.1:1/dawn.png", "INVALID_IMAGE_URL", id="refused"),
        pytest.param("http://sandbox.test/hosted/large.png", "IMAGE_TOO_LARGE", id="large"),
        pytest.param("http://sandbox.test/hosted/moving.gif", "UNSUPPORTED_FORMAT", id="GIF"),
        pytest.param("http://sandbox.test/hosted/page.jpg", "UNSUPPORTED_FORMAT", id="not an image"),
        pytest.param("http://sandbox.test/hosted/broken.png", "UNSUPPORTED_FORMAT", id="broken"),
    ],
)
async def test_bad_image_fails(in_process: Callable[..., Client], folder: Path, url: str, code: str) -> None:
    """A generation with an unusable image is accepted and fails with a reason."""
    caller = in_process(serve=folder)
    fine = "http://sandbox.test/hosted/fine.png"

    status = await caller.ended(await caller.submit(mode="image-to-video", image_urls=[fine, url]))

    assert status["state"] == "failed"
    assert status["failCode"] == code
    assert status["failMsg"]
    assert set(status) == {"taskId", "state", "createTime", "completeTime", "costTime", "failCode", "failMsg"}


async def test_interrupted_download_named(in_process: Callable[..., Client]) -> None:
    """An interrupted download has another failure code than an unreachable URL."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dawn.png"
        caller = in_process()
        status = await caller.ended(await caller.submit(mode="image-to-video", image_urls=[url]))

    assert status["failCode"] == "IMAGE_DOWNLOAD_FAILED"


async def test_large_image_just_fits(in_process: Callable[..., Client], tmp_path: Path) -> None:
    """An image of exactly 10 MB is accepted."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "fine.png")
    fine = (tmp_path / "fine.png").read_bytes()
    (tmp_path / "full.png").write_bytes(fine + bytes(10_000_000 - len(fine)))
    caller = in_process(serve=tmp_path)

    status = await caller.ended(
        await caller.submit(mode="image-to-video", image_urls=["http://sandbox.test/hosted/full.png"])
    )

    assert status["state"] == "success"
