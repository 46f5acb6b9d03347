#!/usr/bin/env python3
"""Paint the pictures of the example storyboards, always the same: ``python examples/paint.py``."""

from functools import partial
from pathlib import Path

from painting.brushes import CANVAS, SIZE, Painter
from painting.files import save
from painting.hours import DAWN, DUSK, NIGHT, NOON, Hour
from painting.land import paint_land
from painting.life import paint_life
from painting.lighthouse import paint_lighthouse
from painting.product import DAY, EVENING, paint_product
from painting.sea import paint_sea
from painting.sky import paint_sky
from PIL import Image

_EXAMPLES = Path(__file__).parent


def paint_scene(canvas: Image.Image, hour: Hour) -> None:
    """Paint the lighthouse at one hour, from far to near."""
    for paint in (paint_sky, paint_sea, paint_life, paint_land, paint_lighthouse):
        paint(canvas, hour)


PICTURES: dict[str, Painter] = {
    "lighthouse/images/dawn.png": partial(paint_scene, hour=DAWN),
    "lighthouse/images/noon.jpg": partial(paint_scene, hour=NOON),
    "lighthouse/images/dusk.webp": partial(paint_scene, hour=DUSK),
    "lighthouse/images/night.png": partial(paint_scene, hour=NIGHT),
    "product/images/day.jpg": partial(paint_product, studio=DAY),
    "product/images/evening.jpg": partial(paint_product, studio=EVENING),
}


def main() -> None:
    """Paint and save all pictures."""
    for name, paint in PICTURES.items():
        canvas = Image.new("RGB", CANVAS)
        paint(canvas)
        save(canvas.resize(SIZE, Image.Resampling.LANCZOS), _EXAMPLES / name)


if __name__ == "__main__":
    main()
