"""The threads that make films."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_seedance.sandbox.contract import Input
from prefect_seedance.sandbox.pictures import UnusablePictureError
from prefect_seedance.sandbox.studio import Studio
from tests.sandbox.conftest import text_input


def asked(prompt: str) -> Input:
    return Input.model_validate(text_input(prompt=prompt, aspect_ratio="1:1"))


@pytest.fixture
def studio() -> Iterator[Studio]:
    studio = Studio(frame_rate=2)
    yield studio
    studio.close()


async def test_films_made_once(studio: Studio) -> None:
    """Whoever asks for the same film, at once or later, gets the same file."""
    first, second = await asyncio.gather(studio.make(asked("the sea"), ()), studio.make(asked("the sea"), ()))
    made_at = first.path.stat().st_mtime_ns

    later = await studio.make(asked("the sea"), ())

    assert first == second == later
    assert later.path.stat().st_mtime_ns == made_at


async def test_cancelled_films_made_later(studio: Studio) -> None:
    """A film that was given up before its turn can be asked for again."""
    orders = [asyncio.create_task(studio.make(asked(f"clip {number}"), ())) for number in range(6)]
    await asyncio.sleep(0)
    for order in orders:
        order.cancel()
    await asyncio.gather(*orders, return_exceptions=True)

    film = await studio.make(asked("clip 5"), ())

    assert film.path.stat().st_size > 0


async def test_bad_picture_told(studio: Studio, tmp_path: Path) -> None:
    """A picture that cannot be decoded is told to everybody who asks."""
    (tmp_path / "bad.png").write_text("<html>")

    for _ in range(2):
        with pytest.raises(UnusablePictureError):
            await studio.make(asked("the sea"), (tmp_path / "bad.png",))


def test_folder_goes_with_studio() -> None:
    """Nothing is left when the studio closes, or when nobody has it any more."""
    closed, forgotten = Studio(frame_rate=1), Studio(frame_rate=1)
    kept = [closed.keep(b"one"), forgotten.keep(b"two")]

    closed.close()
    del forgotten

    assert [path.parent.exists() for path in kept] == [False, False]


def test_picture_is_stored_once(studio: Studio) -> None:
    """A picture that is there is left alone: a thread may be reading it."""
    path = studio.keep(b"a picture")
    stored_at = path.stat().st_mtime_ns

    again = studio.keep(b"a picture")

    assert again == path
    assert path.read_bytes() == b"a picture"
    assert path.stat().st_mtime_ns == stored_at
