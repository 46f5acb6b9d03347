"""One still image as its author gave it."""

import hashlib
import io
import ipaddress
import struct
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.errors import StoryboardError
from prefect_seedance.models import CAPABILITIES, Capabilities

MOST_PIXELS: Final = 64_000_000
"""How many pixels we decode: a quarter of a gigabyte of memory, and far more than any clip shows."""

_UNDECODABLE: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises for bytes that are not the image they claim to be."""


class Picture(BaseModel):
    """An image by its URL, or a local file that was found to be what the model takes.

    Only local files are looked into; what a URL serves is known to the API alone, so their facts are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Absolute path of a local file, or an https URL.")
    sha256: str | None = Field(default=None, description="Digest of a local file's bytes, in hexadecimal.")
    format: str | None = Field(default=None, description="What the bytes are, as Pillow names it.")
    width: int | None = Field(default=None, description="Width in pixels.")
    height: int | None = Field(default=None, description="Height in pixels.")
    size_bytes: int | None = Field(default=None, description="Size of the file.")

    @property
    def identity(self) -> str:
        """What makes two pictures the same: a local file's content, wherever it lies, or the URL."""
        return self.source if self.sha256 is None else f"sha256:{self.sha256}"

    @property
    def is_local(self) -> bool:
        """Whether the picture must be hosted before the API can fetch it."""
        return self.sha256 is not None

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix, for people."""
        if self.is_local:
            return Path(self.source).stem
        url = urlsplit(self.source)
        return PurePosixPath(unquote(url.path)).stem or url.netloc

    @classmethod
    def at(cls, url: str) -> Self:
        """Take an image that the API shall fetch from this URL.

        Raises:
            StoryboardError: The URL is not one that the API can fetch.
        """
        if wrong := _wrong_with(url):
            raise StoryboardError(wrong)
        return cls(source=url)

    @classmethod
    def read(cls, path: Path, *, model: str) -> Self:
        """Look into a local file and make sure that the model takes it.

        Raises:
            StoryboardError: It is missing, too large, of another format, animated or does not decode.
        """
        can = CAPABILITIES[model]
        data, size_bytes = _bytes_of(path, most=can.image_bytes)
        image = _opened(data)
        complaints = list(_complaints(image, size_bytes=size_bytes, can=can))
        if image is None or complaints:
            raise StoryboardError(f"{path} {'; it '.join(complaints)}")
        _decode(image, path)
        return cls(
            source=str(path),
            sha256=hashlib.sha256(data).hexdigest(),
            format=_format(image),
            width=image.width,
            height=image.height,
            size_bytes=size_bytes,
        )


def _wrong_with(url: str) -> str | None:
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"{url!r} contains a blank or an unprintable character; write it as %20 or the like"
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
    except ValueError as error:
        return f"{url!r} is not a URL: {error}"
    if parts.username or parts.password:
        return "the URL carries a user or password, which would be kept with the clip; use one without"
    if not host or not (scheme == "https" or (scheme == "http" and _is_loopback(host))):
        return f"{url!r} is no https URL, so the API could not fetch it; give one, or a local file"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bytes_of(path: Path, *, most: int) -> tuple[bytes, int]:
    """Return a file's bytes, but no more than allowed, and its whole size."""
    try:
        if path.is_dir():
            raise StoryboardError(f"{path} is a folder; name a picture in it")
        if not path.is_file():
            raise StoryboardError(f"no such image; looked for {path}{_suggestion(path)}")
        with path.open("rb") as file:
            return file.read(most), path.stat().st_size
    except OSError as error:
        raise StoryboardError(
            f"{path} cannot be read ({error.strerror}); mend its name or its permissions"
        ) from error


def _suggestion(path: Path) -> str:
    """Name the file beside it that was probably meant."""
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, beside, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _opened(data: bytes) -> Image.Image | None:
    """Identify an image by its content, without decoding it."""
    try:
        return Image.open(io.BytesIO(data))
    except (*_UNDECODABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _format(image: Image.Image) -> str:
    """Name the image's format; MPO is what Pillow calls a JPEG that carries further views, as phones make."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _complaints(image: Image.Image | None, *, size_bytes: int, can: Capabilities) -> Iterator[str]:
    """List what is wrong with a file that has not been decoded yet."""
    if size_bytes > can.image_bytes:
        yield f"has {size_bytes:,} bytes, and the model takes at most {can.image_bytes:,}; save it smaller"
    elif image is None:
        yield f"is not a picture that can be read; save it as {_either(can)}"
    if image is None:
        return
    if _format(image) not in can.image_formats:
        yield f"is {image.format}, and the model takes {_either(can)}; convert it"
    elif _format(image) == image.format and getattr(image, "is_animated", False):
        yield "is animated, and a clip begins and ends at a still; save the one frame you want"
    if image.width * image.height > MOST_PIXELS:
        yield f"has {image.width} x {image.height} pixels, more than {MOST_PIXELS:,}; scale it down"


def _either(can: Capabilities) -> str:
    *others, last = can.image_formats
    return f"{', '.join(others)} or {last}"


def _decode(image: Image.Image, path: Path) -> None:
    try:
        image.load()
    except _UNDECODABLE as error:
        raise StoryboardError(f"{path} is a broken {_format(image)} ({error}); export it again") from error
