"""The first and the last image of a video."""

import colorsys
import hashlib
import textwrap
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

Size = tuple[int, int]

_SIZES: Mapping[str, Mapping[str, Size]] = {
    "480p": {
        "1:1": (640, 640),
        "16:9": (864, 496),
        "9:16": (496, 864),
        "21:9": (992, 426),
        "4:3": (752, 560),
        "3:4": (560, 752),
    },
    "720p": {
        "1:1": (960, 960),
        "16:9": (1280, 720),
        "9:16": (720, 1280),
        "21:9": (1470, 630),
        "4:3": (1112, 834),
        "3:4": (834, 1112),
    },
}
"""The contract gives exact sizes for 16:9 only; the others are even and within about 2 % of their ratio."""

_FORMATS = ("JPEG", "PNG", "WEBP")


PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
"""Metadata of any size does not make an image unusable. The limit belongs to the process."""


class UnusableImageError(Exception):
    """The file is not an image that the API supports."""


def frame_size(resolution: str, aspect_ratio: str) -> Size:
    """Return width and height of a video in pixels; the documented ones, or what the names say."""
    if known := _SIZES.get(resolution, {}).get(aspect_ratio):
        return known
    wide, high = map(int, aspect_ratio.split(":")) if ":" in aspect_ratio else (16, 9)
    side = int("".join(filter(str.isdecimal, resolution)) or 480)
    scale = side / min(wide, high)
    return 2 * round(wide * scale / 2), 2 * round(high * scale / 2)


def load(path: Path, size: Size) -> Image.Image:
    """Load an image and crop it to cover the frame.

    Raises:
        UnusableImageError: It is damaged, too large to decode, or not JPG, PNG or WebP.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.draft("RGB", size)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise UnusableImageError("the image cannot be decoded as JPG, PNG or WebP") from error
    return ImageOps.fit(upright, size, Image.Resampling.LANCZOS)


def draw_cards(prompt: str, size: Size) -> tuple[Image.Image, Image.Image]:
    """Draw two images with the prompt as text; the colours depend on the prompt."""
    hue = hashlib.sha256(prompt.encode()).digest()[0] / 256
    return _card(prompt, size, hue=hue), _card(prompt, size, hue=(hue + 0.2) % 1.0)


def _card(prompt: str, size: Size, *, hue: float) -> Image.Image:
    sky = ImageOps.colorize(
        Image.linear_gradient("L").resize(size),
        black=_colour(hue, 0.25),
        white=_colour((hue + 0.15) % 1.0, 0.75),
    )
    font = ImageFont.load_default(size=max(16, size[0] // 24))
    text = "\n".join(textwrap.wrap(prompt, width=36)[:8])
    ImageDraw.Draw(sky).multiline_text(
        (size[0] / 2, size[1] / 2), text, fill="white", font=font, anchor="mm", align="center"
    )
    return sky


def _colour(hue: float, brightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)
