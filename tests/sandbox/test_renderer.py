"""The thread pool that renders videos."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_seedance.sandbox.contract import Input
from prefect_seedance.sandbox.images import UnusableImageError
from prefect_seedance.sandbox.renderer import Renderer
from tests.sandbox.conftest import text_input


def request(prompt: str) -> Input:
    return Input.model_validate(text_input(prompt=prompt, aspect_ratio="1:1"))


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = Renderer(frame_rate=2)
    yield renderer
    renderer.close()


async def test_videos_rendered_once(renderer: Renderer) -> None:
    """Equal requests, concurrent or later, share one file."""
    first, second = await asyncio.gather(
        renderer.make(request("the sea"), ()), renderer.make(request("the sea"), ())
    )
    made_at = first.path.stat().st_mtime_ns

    later = await renderer.make(request("the sea"), ())

    assert first == second == later
    assert later.path.stat().st_mtime_ns == made_at


async def test_cancelled_video_rendered_later(renderer: Renderer) -> None:
    """A video whose rendering was cancelled can be requested again."""
    tasks = [asyncio.create_task(renderer.make(request(f"clip {number}"), ())) for number in range(6)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    video = await renderer.make(request("clip 5"), ())

    assert video.path.stat().st_size > 0


async def test_bad_image_reported(renderer: Renderer, tmp_path: Path) -> None:
    """Every request with an undecodable image raises the error."""
    (tmp_path / "bad.png").write_text("<html>")

    for _ in range(2):
        with pytest.raises(UnusableImageError):
            await renderer.make(request("the sea"), (tmp_path / "bad.png",))


def test_folder_removed() -> None:
    """The folder is removed when the renderer is closed or garbage-collected."""
    closed, forgotten = Renderer(frame_rate=1), Renderer(frame_rate=1)
    kept = [closed.keep(b"one"), forgotten.keep(b"two")]

    closed.close()
    del forgotten

    assert [path.parent.exists() for path in kept] == [False, False]


def test_image_stored_once(renderer: Renderer) -> None:
    """An image is not rewritten, because a thread may be reading it."""
    path = renderer.keep(b"an image")
    stored_at = path.stat().st_mtime_ns

    again = renderer.keep(b"an image")

    assert again == path
    assert path.read_bytes() == b"an image"
    assert path.stat().st_mtime_ns == stored_at
