"""Put pictures into a page itself, as small as their number demands."""

import base64
import math
from io import BytesIO

from PIL import Image

_PIXELS = 30_000_000
"""Of all pictures of a page together: about 4 MB as JPEG in base64, for any number of clips."""

_WIDEST = 640
"""Twice what a frame takes on a page, for screens with two dots to the pixel."""

_QUALITY = 75


def widest(count: int, *, ratio: float) -> int:
    """Return how wide each of some pictures of this ratio of width to height may be."""
    return max(1, min(_WIDEST, int(math.sqrt(_PIXELS * ratio / max(1, count)))))


def decoded(picture: bytes | None) -> Image.Image | None:
    """Decode a picture, or return None if there is none or it is damaged."""
    try:
        return Image.open(BytesIO(picture)).convert("RGB") if picture else None
    except OSError:
        return None


def data_url(image: Image.Image, *, width: int) -> str:
    """Return a picture as a URL that holds it, scaled down to a width: its pixels, and nothing else."""
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
