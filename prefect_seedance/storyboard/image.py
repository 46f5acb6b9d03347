"""One still image as its author gave it."""

import hashlib
import io
import ipaddress
import math
import struct
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Self
from urllib.parse import unquote, urlsplit

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.api.models import CAPABILITIES, Capabilities
from prefect_seedance.errors import StoryboardError

MOST_PIXELS: Final = 64_000_000
"""How many pixels we decode: a quarter of a gigabyte of memory, and far more than any clip shows."""

MOST_BYTES: Final = 100_000_000
"""How large a file we read: what is over the model's limit is made smaller, and this is ten times that."""

_FRAME_PIXELS: Final = 1280 * 720
"""What a fitted picture has at least: all that the model's best resolution shows, so that nothing is lost,
and no more, for it would only be scaled. For every ratio this comes to the size that 720p is made in.
Source: https://runware.ai/docs/models/bytedance-seedance-1-5-pro, read 2026-11-22."""

_MADE_PIXELS: Final = 3_000_000
"""What a picture has at most that is made anew without being fitted: three times what the model shows, and
as PNG, at three bytes a pixel, never over the 10 MB that the model takes."""

_DEEDS: Final = {"crop": "cropped", "pad": "padded"}

_ORIENTATION: Final = 0x0112
"""The tag of EXIF that says how to turn an image; 1 is upright, and so is what has none."""

_LYING: Final = range(5, 9)
"""Orientations in which width and height change places."""

_UNDECODABLE: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises for bytes that are not the image they claim to be."""

Fit = Literal["crop", "pad", "none"]


class Fitting(BaseModel):
    """How a picture is brought to a clip's ratio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: Literal["crop", "pad"]
    aspect_ratio: str

    def __str__(self) -> str:
        return f"{self.fit}-{self.aspect_ratio}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what comes out: exactly of the ratio, even, and the same for every picture."""
        wide, high = _lowest(self.aspect_ratio)
        half = math.ceil(math.sqrt(_FRAME_PIXELS / (4 * wide * high)))
        return 2 * half * wide, 2 * half * high


class SourceImage(BaseModel):
    """An image by its URL, or one of ours that was found to be what the model takes.

    Only our own are looked into; what a URL serves is known to the API alone, so their facts are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Absolute path of a local file, address of an object, or a URL.")
    sha256: str | None = Field(default=None, description="Digest of the file's bytes, in hexadecimal.")
    format: str | None = Field(default=None, description="What the bytes are, as Pillow names it.")
    width: int | None = Field(default=None, description="Width in pixels, upright.")
    height: int | None = Field(default=None, description="Height in pixels, upright.")
    size_bytes: int | None = Field(default=None, description="Size of the file.")
    is_turned: bool = Field(default=False, description="Whether its EXIF says to turn or mirror it.")
    is_heavy: bool = Field(default=False, description="Whether the file is larger than the model takes.")
    fitting: Fitting | None = Field(default=None, description="How it is fitted, if that changes it.")

    @property
    def identity(self) -> str:
        """What makes two pictures the same: one of ours by content, wherever it lies, or the URL.

        What is made of a picture is told by what is done to it, never by the bytes that come out: another
        release of the encoder would make others, and buy every clip again. For the same reason neither
        turning it upright nor making it lighter counts: it stays the picture that the author chose.
        """
        if self.sha256 is None:
            return self.source
        return f"sha256:{self.sha256}{f'#{self.fitting}' if self.fitting else ''}"

    @property
    def is_local(self) -> bool:
        """Whether the picture must be hosted before the API can fetch it."""
        return self.sha256 is not None

    @property
    def made_size(self) -> tuple[int, int] | None:
        """Width and height of what is made of it for the API; None if that gets the file byte for byte."""
        if self.fitting:
            return self.fitting.size
        if not (self.is_turned or self.is_heavy) or not (self.width and self.height):
            return None
        shrunk = min(1.0, math.sqrt(_MADE_PIXELS / (self.width * self.height)))
        return max(1, int(self.width * shrunk)), max(1, int(self.height * shrunk))

    @property
    def changes(self) -> tuple[str, ...]:
        """What is done to it before the API gets it, for people; nothing if that gets the file as it is."""
        fitted = f"{_DEEDS[self.fitting.fit]} to {self.fitting.aspect_ratio}" if self.fitting else ""
        done = {"set upright": self.is_turned, "made lighter": self.is_heavy, fitted: bool(fitted)}
        return tuple(change for change, is_made in done.items() if is_made)

    @property
    def hosted_name(self) -> str:
        """What to call the file that the API gets: by content, and by what is done to it.

        Two machines may encode one picture differently, and whichever comes first has made it for both.
        """
        if self.made_size is None:
            return f"{self.sha256}.{(self.format or '').lower()}"
        made = "x".join(map(str, self.made_size))
        return f"{self.sha256}-{f'{self.fitting.fit}-' if self.fitting else ''}{made}.png"

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix, for people."""
        if self.is_local:
            return Path(self.source).stem
        url = urlsplit(self.source)
        return PurePosixPath(unquote(url.path)).stem or url.netloc

    def fitted(self, fit: Fit, *, aspect_ratio: str) -> Self:
        """Return the picture as a clip of this ratio wants it.

        One that has the ratio already, but for less than a pixel, stays as it is; so does what lies at a
        URL, for nobody can fit what he does not hold.
        """
        if fit == "none" or not (self.width and self.height):
            return self
        wide, high = _lowest(aspect_ratio)
        too_wide = self.width * high - self.height * wide
        if -wide < too_wide < high:
            return self
        return self.model_copy(update={"fitting": Fitting(fit=fit, aspect_ratio=aspect_ratio)})

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
        """Look into a local file and make sure that the model takes it, or what can be made of it.

        Raises:
            StoryboardError: It is missing, too large, of another format, animated or does not decode.
        """
        return cls.of(_bytes_of(path), source=str(path), model=model)

    @classmethod
    def of(cls, content: bytes, *, source: str, model: str) -> Self:
        """Look into an image's bytes, as `read` does into a file's.

        Raises:
            StoryboardError: They are of another format, animated or do not decode.
        """
        can = CAPABILITIES[model]
        image = _opened(content)
        complaints = list(_complaints(image, can=can))
        if image is None or complaints:
            raise StoryboardError(f"{source} {'; it '.join(complaints)}")
        _decode(image, source)
        orientation = _orientation(image)
        lies = orientation in _LYING
        return cls(
            source=source,
            sha256=hashlib.sha256(content).hexdigest(),
            format=_format(image),
            width=image.height if lies else image.width,
            height=image.width if lies else image.height,
            size_bytes=len(content),
            is_turned=orientation != 1,
            is_heavy=len(content) > can.image_bytes,
        )


def too_large(size_bytes: int) -> str | None:
    """Say why a file of this size is not even looked into, if so."""
    if size_bytes <= MOST_BYTES:
        return None
    return f"has {size_bytes:,} bytes, and at most {MOST_BYTES:,} are read; save it smaller"


def _lowest(aspect_ratio: str) -> tuple[int, int]:
    """Return width to height in lowest terms: 21:9 is 7:3."""
    wide, high = map(int, aspect_ratio.split(":"))
    common = math.gcd(wide, high)
    return wide // common, high // common


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


def _bytes_of(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise StoryboardError(f"{path} is a folder; name a picture in it")
        if not path.is_file():
            raise StoryboardError(f"no such image; looked for {path}{_suggestion(path)}")
        if wrong := too_large(path.stat().st_size):
            raise StoryboardError(f"{path} {wrong}")
        return path.read_bytes()
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


def _complaints(image: Image.Image | None, *, can: Capabilities) -> Iterator[str]:
    """List what is wrong with a file that has not been decoded yet."""
    if image is None:
        yield f"is not a picture that can be read; save it as {_either(can)}"
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


def _orientation(image: Image.Image) -> int:
    """Return how the image is to be turned; EXIF that cannot be read says nothing, and is no mistake."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except _UNDECODABLE:
        return 1
    return found if isinstance(found, int) and found in range(2, 9) else 1


def _decode(image: Image.Image, source: str) -> None:
    try:
        image.load()
    except _UNDECODABLE as error:
        raise StoryboardError(f"{source} is a broken {_format(image)} ({error}); export it again") from error
