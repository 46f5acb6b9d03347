"""Images embedded in a page."""

import base64
from io import BytesIO

import pytest
from PIL import Image

from prefect_seedance.report.thumbnails import data_url, decode, max_width
from tests.reports import jpeg


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


def test_data_url_contains_image() -> None:
    """A data URL contains the image as a JPEG file."""
    image = Image.new("RGB", (64, 36), "teal")

    kind, _, content = data_url(image).partition(",")

    decoded = Image.open(BytesIO(base64.b64decode(content)))
    assert kind == "data:image/jpeg;base64"
    assert (decoded.format, decoded.size) == ("JPEG", (64, 36))
