"""Embed images in a page, the smaller the more there are."""

import base64
import math
from io import BytesIO

from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image_reader import open_image

_TOTAL_PIXELS = 20_000_000
"""Pixels of all images of a page; measured, this gives 4 MB for 100 clips and 10 MB for 1,000."""

_MAX_WIDTH = 640
"""Twice the width of a frame on the page, for screens with two device pixels per CSS pixel."""

_QUALITY = 72

_MAX_HEIGHT_RATIO = 4
"""Height limit as a multiple of the width; no frame reaches it."""

_REDUCING_GAP = 1.0
"""Pillow decodes at a half or a quarter of the size if the target is not larger: up to twice as fast."""


def max_width(count: int, *, ratio: float) -> int:
    """Return the maximum width of each of ``count`` images, given their ratio of width to height."""
    return max(1, min(_MAX_WIDTH, int(math.sqrt(_TOTAL_PIXELS * ratio / max(1, count)))))


def decode(content: bytes | None, *, width: int) -> Image.Image | None:
    """Decode an image and scale it down to a width; return None if it is missing or damaged."""
    if content is None:
        return None
    try:
        with open_image(content, source="a still") as image:
            size = width, _MAX_HEIGHT_RATIO * width
            image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
            return image.convert("RGB")
    except StoryboardError:
        return None


def data_url(image: Image.Image) -> str:
    """Return a URL that contains the image as a JPEG file."""
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
