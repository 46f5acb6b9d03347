"""Put pictures into a page itself, as small as their number demands."""

import base64
import math
from io import BytesIO

from PIL import Image

_PIXELS = 20_000_000
"""Of all pictures of a page together; measured, it makes 4 MB for 100 clips and 10 MB for 1,000."""

_WIDEST = 640
"""Twice what a frame takes on a page, for screens with two dots to the pixel."""

_QUALITY = 72

_HIGHEST = 4
"""Times as high as wide: no picture is."""

_REDUCING_GAP = 2.0
"""Pillow may decode at a half or a quarter first, if twice the size that is wanted is left."""


def widest(count: int, *, ratio: float) -> int:
    """Return how wide each of some pictures of this ratio of width to height may be."""
    return max(1, min(_WIDEST, int(math.sqrt(_PIXELS * ratio / max(1, count)))))


def decoded(picture: bytes | None, *, width: int) -> Image.Image | None:
    """Decode a picture, scaled down to a width; return None if there is none or it is damaged."""
    if picture is None:
        return None
    try:
        with Image.open(BytesIO(picture)) as image:
            image.thumbnail((width, _HIGHEST * width), reducing_gap=_REDUCING_GAP)
            return image.convert("RGB")
    except OSError:
        return None


def data_url(image: Image.Image) -> str:
    """Return a picture as a URL that holds it: its pixels, and nothing else."""
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
