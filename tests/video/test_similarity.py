"""Structural similarity of two images."""

import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageFilter, ImageOps

from prefect_seedance.video.similarity import similarity


def _noise(seed: int) -> Image.Image:
    """Draw soft grey noise."""
    speckles = random.Random(seed).randbytes(40 * 24)  # noqa: S311 -- no secret
    return Image.frombytes("L", (40, 24), speckles).resize((160, 96), Image.Resampling.BICUBIC).convert("RGB")


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        pytest.param(lambda image: image, 1.0, 1.0, id="itself"),
        pytest.param(lambda image: image.resize((320, 192)).convert("RGBA"), 0.98, 1.0, id="size"),
        pytest.param(lambda image: image.filter(ImageFilter.GaussianBlur(1)), 0.5, 0.97, id="blurred"),
        pytest.param(lambda _: _noise(4), 0.0, 0.5, id="another"),
        pytest.param(ImageOps.invert, -1.0, 0.0, id="inverted"),
    ],
)
def test_similarity(change: Callable[[Image.Image], Image.Image], least: float, most: float) -> None:
    """It is 1.0 for the same image of any size, and falls with every visible difference."""
    image = _noise(3)

    assert least <= similarity(image, change(image)) <= most


def test_colours_count() -> None:
    """Two colours of similar brightness differ, although neither image has any structure."""
    red, blue = Image.new("RGB", (64, 36), "#ff0000"), Image.new("RGB", (64, 36), "#0000ff")

    assert similarity(red, blue) < 0.7


def test_fine_detail_does_not_count() -> None:
    """Images are compared at 256 pixels, where the finest detail of a large one is invisible."""
    large = _noise(5).resize((2560, 1536), Image.Resampling.BICUBIC)

    assert similarity(large, large.filter(ImageFilter.GaussianBlur(4))) > 0.97
