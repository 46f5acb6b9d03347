"""Check that an image file is one that the model accepts."""

import hashlib
import struct
from pathlib import Path
from typing import Final

from PIL import Image

from prefect_seedance.api.models import facts_of
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.files import read_named
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_reader import format_of, open_image

MAX_IMAGE_BYTES: Final = 100_000_000
"""The largest file we read: ten times the model's limit. Files between the two are reduced in size."""

_ORIENTATION: Final = 0x0112
"""The EXIF tag for orientation. 1 means upright, as does a missing tag."""

_SIDEWAYS: Final = range(5, 9)
"""Orientations that swap width and height."""


def inspect_file(path: Path, *, model: str) -> SourceImage:
    """Read a local image and check that the model accepts it, if need be after a conversion.

    Raises:
        StoryboardError: The file is missing, too large, of another format, animated or damaged.
    """
    return inspect_bytes(read_image(path), source=str(path), model=model)


def inspect_bytes(content: bytes, *, source: str, model: str) -> SourceImage:
    """Check an image's bytes as `inspect_file` does.

    Raises:
        StoryboardError: The image is of another format, animated or damaged.
    """
    with open_image(content, source=source) as image:
        if format_of(image) == image.format and getattr(image, "is_animated", False):
            raise StoryboardError(
                f"{source} is animated, and clips begin and end at still images; save the one frame you want"
            )
        image.load()
        orientation = _orientation(image)
        is_sideways = orientation in _SIDEWAYS
        return SourceImage(
            source=source,
            sha256=hashlib.sha256(content).hexdigest(),
            format=format_of(image),
            width=image.height if is_sideways else image.width,
            height=image.width if is_sideways else image.height,
            size_bytes=len(content),
            is_rotated=orientation != 1,
            is_oversized=len(content) > facts_of(model).max_image_bytes,
        )


def check_size(size_bytes: int, *, source: str) -> None:
    """Refuse a file that is too large to read.

    Raises:
        StoryboardError: The file exceeds `MAX_IMAGE_BYTES`.
    """
    if size_bytes > MAX_IMAGE_BYTES:
        raise StoryboardError(
            f"{source} has {size_bytes:,} bytes; the limit is {MAX_IMAGE_BYTES:,}. Save a smaller file"
        )


def read_image(path: Path) -> bytes:
    """Return the content of a local image.

    Raises:
        StoryboardError: The file is missing, irregular or too large, or cannot be read.
    """
    content = read_named(path, noun="image", max_bytes=MAX_IMAGE_BYTES)
    if len(content) > MAX_IMAGE_BYTES:
        check_size(path.stat().st_size, source=str(path))
    return content


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 if there is none or it cannot be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):
        return 1
    return orientation if isinstance(orientation, int) and orientation in range(2, 9) else 1
