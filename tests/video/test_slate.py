"""Slates: readable at any size, with any text."""

import pytest
from PIL import Image, ImageChops

from prefect_seedance.video.slate import draw_slate


@pytest.mark.parametrize("size", [(1280, 720), (496, 864), (992, 426), (192, 96)])
def test_text_has_margins(size: tuple[int, int]) -> None:
    """With any length of text, a margin stays free on every side."""
    slate = draw_slate(
        "Clip 12 is missing", "a very long name " * 8, "the reason goes on and on " * 30, size=size
    )

    wide, high = slate.size
    below = slate.crop((0, high // 12, wide, high))
    left, top, right, bottom = _text_box(below)
    assert slate.size == size
    assert left > 0.02 * wide
    assert right < 0.98 * wide
    assert top > 0
    assert bottom < below.height


def test_text_is_drawn() -> None:
    """Slates of two clips differ."""
    slates = [draw_slate(f"Clip {number} is missing", "a → b", "", size=(640, 360)) for number in (1, 2)]

    assert ImageChops.difference(*slates).getbbox() is not None


def _text_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(image, Image.new("RGB", image.size, image.getpixel((0, 0)))).getbbox()
    assert box is not None
    return box
