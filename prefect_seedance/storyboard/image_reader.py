"""Open pictures: the only place that hands bytes to Pillow."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image_kinds import kind_of
from prefect_seedance.storyboard.png_metadata import reduced

MAX_PIXELS: Final = 64_000_000
"""The most pixels we decode: a quarter of a gigabyte of memory, and far more than any clip shows."""

_FORMATS: Final = CAPABILITIES[DEFAULT_MODEL].image_formats
"""Formats that Pillow may try. Without a list it also tries formats that start other programs: Ghostscript
for EPS."""

_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError)
"""The exceptions that Pillow raises for damaged files."""

_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_WARNINGS: Final = threading.Lock()
"""Held while warnings are ignored, because the list of filters belongs to the whole process."""


@contextmanager
def open_image(content: bytes, *, source: str, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a JPEG, PNG or WebP image, and translate Pillow's errors, also those raised inside.

    Nothing is decoded before the format and the number of pixels are known. Pillow's warnings are not shown,
    because the file's author wrote what they say.

    Args:
        content: The file's bytes.
        source: Name of the image in messages.
        max_pixels: The most pixels to decode.

    Raises:
        StoryboardError: The image has another format, is too large or damaged.
    """
    with _identified(content, source=source) as image:
        if image.width * image.height > max_pixels:
            raise StoryboardError(
                f"{source} has {image.width} x {image.height} pixels, more than {max_pixels:,}; scale it down"
            )
        try:
            yield image
        except _ERRORS as error:
            reason = " ".join(str(error).split())[:200]
            raise StoryboardError(
                f"{source} is a damaged {format_of(image)}, broken or cut off ({reason}); export it again"
            ) from error


def format_of(image: Image.Image) -> str:
    """Return the image's format, with Pillow's MPO as JPEG: phones write JPEGs that contain further views."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _identified(content: bytes, *, source: str) -> Image.Image:
    """Identify an image by its content, without decoding it."""
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bare, profile = reduced(content)
            image = Image.open(io.BytesIO(bare), formats=_FORMATS)
            if profile:
                image.info["icc_profile"] = profile
            return image
    except _BOMBS as error:
        raise StoryboardError(f"{source} has more than {MAX_PIXELS:,} pixels; scale it down") from error
    except _ERRORS as error:
        raise StoryboardError(f"{source} {_unreadable(content)}") from error


def _unreadable(content: bytes) -> str:
    """Name a file that is not identified as an image, with the remedy."""
    *others, last = _FORMATS
    listed = f"{', '.join(others)} or {last}"
    kind = kind_of(content)
    if kind is None:
        return f"is not an image that can be decoded; save it as {listed}"
    if any(accepted in kind.name.upper() for accepted in _FORMATS) and not kind.remedy and kind.is_picture:
        return f"is damaged: it begins as {kind.name} and cannot be decoded; copy or export it again"
    return f"is {kind.name}; {kind.remedy or f'save the image as {listed}'}"
