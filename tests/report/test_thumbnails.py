"""Images embedded in a page."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.errors import ArchiveError
from prefect_seedance.report.thumbnails import Thumbnails, data_url, decode, max_width, scale
from prefect_seedance.storage.store import Store
from tests.reports import inspection_of, jpeg, still_keys

_WAIT_SECONDS = 60.0


@pytest.mark.parametrize(("count", "expected"), [(0, 640), (3, 640), (300, 344), (3000, 108), (10**9, 1)])
def test_width_shrinks_with_number(count: int, expected: int) -> None:
    """All images of a page together have a bounded number of pixels."""
    assert max_width(count, ratio=16 / 9) == expected


def test_image_is_scaled_down() -> None:
    """An image is scaled to the width, with its ratio."""
    image = decode(jpeg("teal", size=(640, 360)), width=320)

    assert image
    assert image.size == (320, 180)


def test_small_image_keeps_size() -> None:
    """An image is never enlarged."""
    image = decode(jpeg("teal", size=(64, 36)), width=320)

    assert image
    assert image.size == (64, 36)


@pytest.mark.parametrize("content", [None, b"", b"no image", jpeg("red")[:300]])
def test_damaged_image_is_none(content: bytes | None) -> None:
    """A missing or damaged image is None."""
    assert decode(content, width=320) is None


def test_scaled_image_is_jpeg() -> None:
    """An image is scaled as a JPEG file; a damaged one is None."""
    small = scale(jpeg("teal", size=(640, 360)), width=320)

    decoded = Image.open(BytesIO(small or b""))
    assert (decoded.format, decoded.size) == ("JPEG", (320, 180))
    assert scale(b"damaged", width=320) is None


def test_data_url_contains_image() -> None:
    """A data URL contains the image as a JPEG file."""
    kind, _, content = data_url(jpeg("teal")).partition(",")

    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(content) == jpeg("teal")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive with the stills of two clips."""
    for key in (*still_keys(1), *still_keys(2)):
        file = tmp_path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg("teal", size=(640, 360)))
    return tmp_path


@pytest.fixture
async def thumbnails(archive: Path) -> AsyncIterator[Thumbnails]:
    """Scale stills for a page of 100 clips."""
    async with contextlib.aclosing(Thumbnails(Store.open(str(archive)), clips=100)) as opened:
        yield opened


async def test_stills_of_clip(thumbnails: Thumbnails, archive: Path) -> None:
    """The stills of a clip are scaled for their page; a missing one is None."""
    (archive / still_keys(1)[1]).unlink()

    start, middle, end = await thumbnails.take(inspection_of(1), ratio=16 / 9)

    assert [Image.open(BytesIO(still or b"")).size for still in (start, end)] == [(344, 194)] * 2
    assert middle is None


async def test_clip_without_background(thumbnails: Thumbnails) -> None:
    """A clip whose scaling was begun has the same stills as one whose was not."""
    thumbnails.begin(inspection_of(1), ratio=16 / 9)

    begun, other = [await thumbnails.take(inspection_of(number), ratio=16 / 9) for number in (1, 2)]

    assert begun == other
    assert None not in begun


async def test_other_width_scales_again(thumbnails: Thumbnails) -> None:
    """Stills that were scaled for another ratio are scaled again."""
    thumbnails.begin(inspection_of(1), ratio=1.0)

    start, *_ = await thumbnails.take(inspection_of(1), ratio=16 / 9)

    assert Image.open(BytesIO(start or b"")).width == 344


async def test_failed_reading_is_repeated(thumbnails: Thumbnails, archive: Path) -> None:
    """Stills that could not be read in the background are read when the report takes them."""
    still = archive / still_keys(1)[0]
    still.unlink()
    still.symlink_to(still)
    with pytest.raises(ArchiveError):
        await thumbnails.take(inspection_of(1), ratio=16 / 9)
    before = asyncio.all_tasks()
    thumbnails.begin(inspection_of(1), ratio=16 / 9)
    (failing,) = asyncio.all_tasks() - before
    await asyncio.wait({failing})
    still.unlink()
    still.write_bytes(jpeg("gold"))

    assert None not in await thumbnails.take(inspection_of(1), ratio=16 / 9)


async def test_closing_cancels(archive: Path) -> None:
    """Closing leaves neither tasks nor threads."""
    before = asyncio.all_tasks()
    thumbnails = Thumbnails(Store.open(str(archive)), clips=100)
    for number in range(1, 40):
        thumbnails.begin(inspection_of(number), ratio=16 / 9)
    await asyncio.sleep(0)

    await thumbnails.aclose()

    assert asyncio.all_tasks() == before
    async with asyncio.timeout(_WAIT_SECONDS):
        while any(thread.name.startswith("seedance-report") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
