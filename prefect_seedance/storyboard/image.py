"""A source image, with the changes it needs before the API fetches it."""

import math
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.storyboard.source_file import SourceFile

_FITTED_PIXELS: Final = 1280 * 720
"""The fewest pixels of a fitted image: those of a 720p clip, so that no detail is lost. The model would only
scale down a larger image. For every ratio the result is the size of a 720p clip.
Source: https://runware.ai/docs/models/bytedance-seedance-1-5-pro, read 2026-11-22."""

_LARGER_PIXELS: Final = {"1080p": 1920 * 1080}
"""The same for clips of a higher resolution."""

_CONVERTED_PIXELS: Final = 3_000_000
"""The most pixels of an image that is converted but not fitted: three times those of a clip. As a PNG, at
three bytes a pixel, it always stays below the model's limit of 10 MB."""

_FIT_VERBS: Final = {"crop": "cropped", "pad": "padded"}

Fit = Literal["crop", "pad", "none"]
"""How to bring an image to a clip's aspect ratio."""


class Fitting(BaseModel):
    """How an image is brought to a clip's aspect ratio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: Literal["crop", "pad"]
    aspect_ratio: str
    pixels: int = _FITTED_PIXELS

    def __str__(self) -> str:
        return f"{self.fit}-{self.aspect_ratio}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the fitted image: exactly the ratio, both even, the same for every image."""
        width, height = _lowest_terms(self.aspect_ratio)
        half = math.ceil(math.sqrt(self.pixels / (4 * width * height)))
        return 2 * half * width, 2 * half * height


class SourceImage(SourceFile):
    """An image at a URL, or a local or stored image that was inspected."""

    width: int | None = Field(default=None, description="Width in pixels, upright.")
    height: int | None = Field(default=None, description="Height in pixels, upright.")
    is_rotated: bool = Field(default=False, description="Whether EXIF asks viewers to rotate or mirror it.")
    is_oversized: bool = Field(default=False, description="Whether the file exceeds the model's limit.")
    fitting: Fitting | None = Field(default=None, description="How it is fitted, if it needs to be.")

    @property
    def identity(self) -> str:
        """The image's part of a fingerprint.

        A fitted image adds how it is fitted, never the digest of the converted bytes: another release of the
        encoder would produce other bytes and buy every clip again. Rotating an image upright and reducing
        its size do not count, because the author's image stays the same.
        """
        return f"{super().identity}{f'#{self.fitting}' if self.is_local and self.fitting else ''}"

    @property
    def converted_size(self) -> tuple[int, int] | None:
        """Width and height of the copy made for the API; None if the API gets the file byte for byte."""
        if self.fitting:
            return self.fitting.size
        if not (self.is_rotated or self.is_oversized) or not (self.width and self.height):
            return None
        scale = min(1.0, math.sqrt(_CONVERTED_PIXELS / (self.width * self.height)))
        return max(1, int(self.width * scale)), max(1, int(self.height * scale))

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes made for the API, for display; empty if the API gets the file byte for byte."""
        fitted = f"{_FIT_VERBS[self.fitting.fit]} to {self.fitting.aspect_ratio}" if self.fitting else ""
        needed = {
            "rotated upright": self.is_rotated,
            "reduced in size": self.is_oversized,
            fitted: bool(fitted),
        }
        return tuple(change for change, is_needed in needed.items() if is_needed)

    @property
    def hosted_name(self) -> str:
        """Name of the file that the API fetches: the digest of the content, and the conversion.

        Two machines may encode one image differently. The first one to store its copy serves both.
        """
        if self.converted_size is None:
            return super().hosted_name
        size = "x".join(map(str, self.converted_size))
        return f"{self.sha256}-{f'{self.fitting.fit}-' if self.fitting else ''}{size}.png"

    def deviation(self, aspect_ratio: str) -> float:
        """Return by which factor the shape differs from a ratio; 1.0 if it is the same or unknown."""
        if ":" not in aspect_ratio or not (self.width and self.height):  # the model chooses the ratio
            return 1.0
        width, height = _lowest_terms(aspect_ratio)
        quotient = self.width * height / (self.height * width)
        return max(quotient, 1 / quotient)

    def fitted(self, fit: Fit, *, aspect_ratio: str, resolution: str = "") -> Self:
        """Return the image as a clip of this ratio needs it.

        An image stays unchanged if it differs from the ratio by less than a pixel, if it is at a URL, or if
        the model chooses the ratio.
        """
        if fit == "none" or ":" not in aspect_ratio or not (self.width and self.height):
            return self
        width, height = _lowest_terms(aspect_ratio)
        excess = self.width * height - self.height * width
        if -width < excess < height:
            return self
        pixels = _LARGER_PIXELS.get(resolution, _FITTED_PIXELS)
        fitting = Fitting(fit=fit, aspect_ratio=aspect_ratio, pixels=pixels)
        return self.model_copy(update={"fitting": fitting})


def _lowest_terms(aspect_ratio: str) -> tuple[int, int]:
    """Return width and height of a ratio in lowest terms: 21:9 is 7:3."""
    width, height = map(int, aspect_ratio.split(":"))
    divisor = math.gcd(width, height)
    return width // divisor, height // divisor
