"""Check that an image file is one that the model accepts."""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from PIL import Image

from prefect_seedance.api.models import CAPABILITIES, Capabilities
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image import SourceImage

MAX_PIXELS: Final = 64_000_000
"""The most pixels we decode: a quarter of a gigabyte of memory, and far more than any clip shows."""

MAX_IMAGE_BYTES: Final = 100_000_000
"""The largest file we read: ten times the model's limit. Files between the two are reduced in size."""

_ORIENTATION: Final = 0x0112
"""The EXIF tag for orientation. 1 means upright, as does a missing tag."""

_SIDEWAYS: Final = range(5, 9)
"""Orientations that swap width and height."""

_DECODING_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""The exceptions that Pillow raises for damaged files."""


def inspect_file(path: Path, *, model: str) -> SourceImage:
    """Read a local image and check that the model accepts it, if need be after a conversion.

    Raises:
        StoryboardError: The file is missing, too large, of another format, animated or damaged.
    """
    return inspect_bytes(_read_file(path), source=str(path), model=model)


def inspect_bytes(content: bytes, *, source: str, model: str) -> SourceImage:
    """Check an image's bytes as `inspect_file` does.

    Raises:
        StoryboardError: The image is of another format, animated or damaged.
    """
    limits = CAPABILITIES[model]
    image = _open(content)
    problems = list(_problems(image, limits=limits))
    if image is None or problems:
        raise StoryboardError(f"{source} {'; it '.join(problems)}")
    _decode(image, source)
    orientation = _orientation(image)
    is_sideways = orientation in _SIDEWAYS
    return SourceImage(
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        format=_format(image),
        width=image.height if is_sideways else image.width,
        height=image.width if is_sideways else image.height,
        size_bytes=len(content),
        is_rotated=orientation != 1,
        is_oversized=len(content) > limits.max_image_bytes,
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


def _read_file(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise StoryboardError(f"{path} is a folder; name an image in it")
        if not path.is_file():
            raise StoryboardError(f"there is no image {path}{_suggestion(path)}")
        check_size(path.stat().st_size, source=str(path))
        return path.read_bytes()
    except OSError as error:
        raise StoryboardError(
            f"{path} cannot be read ({error.strerror}); check its name and its permissions"
        ) from error


def _suggestion(path: Path) -> str:
    """Suggest a file of a similar name in the same folder."""
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, siblings, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _open(content: bytes) -> Image.Image | None:
    """Identify an image by its content, without decoding it."""
    try:
        return Image.open(io.BytesIO(content))
    except (*_DECODING_ERRORS, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _format(image: Image.Image) -> str:
    """Return the image's format, with Pillow's MPO as JPEG: phones write JPEGs that contain further views."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _problems(image: Image.Image | None, *, limits: Capabilities) -> Iterator[str]:
    """Find the problems that show before an image is decoded."""
    if image is None:
        yield f"is not an image that can be decoded; save it as {_listed(limits.image_formats)}"
        return
    if _format(image) not in limits.image_formats:
        yield f"is {image.format}, and the model accepts {_listed(limits.image_formats)}; convert it"
    elif _format(image) == image.format and getattr(image, "is_animated", False):
        yield "is animated, and clips begin and end at still images; save the one frame you want"
    if image.width * image.height > MAX_PIXELS:
        yield f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; scale it down"


def _listed(formats: tuple[str, ...]) -> str:
    *others, last = formats
    return f"{', '.join(others)} or {last}"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 if there is none or it cannot be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except _DECODING_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) and orientation in range(2, 9) else 1


def _decode(image: Image.Image, source: str) -> None:
    try:
        image.load()
    except _DECODING_ERRORS as error:
        raise StoryboardError(f"{source} is a damaged {_format(image)} ({error}); export it again") from error
