"""Convert an image for the API: rotated, fitted and in sRGB."""

import io
import math
from contextlib import suppress
from typing import Final

from PIL import Image, ImageCms, ImageOps

from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_reader import open_image

_BACKGROUND: Final = "white"
"""The colour behind transparent pixels, as on a web page."""

_PADDING: Final = "black"
"""The colour of the bars, as in films; an editor can crop them away."""

_OVERSAMPLING: Final = 2
"""How much larger than the result an image is decoded at least, so that the last resize stays sharp."""


def convert(image: SourceImage, content: bytes) -> bytes:
    """Return the file that the API fetches: the original, or a converted copy as PNG, which is lossless.

    Args:
        image: An inspected image.
        content: The bytes that were inspected.
    """
    if image.converted_size is None:
        return content
    file = io.BytesIO()
    render(image, content).save(file, "PNG", icc_profile=None)  # viewers assume sRGB
    return file.getvalue()


def render(image: SourceImage, content: bytes) -> Image.Image:
    """Return the image in RGB as the API sees it, to compare a clip's frames with.

    The largest images that we read take half a gigabyte of memory and some seconds.

    Args:
        image: An inspected image.
        content: The bytes that were inspected.
    """
    size = image.converted_size
    with open_image(content, source=image.source) as opened:
        profile = opened.info.get("icc_profile")
        if size and _can_blend(opened):
            scale = max(size[0] / (image.width or 1), size[1] / (image.height or 1))
            _reduce(opened, _OVERSAMPLING * scale)
        upright = ImageOps.exif_transpose(opened) if image.is_rotated else opened
        upright.load()
    flat = _to_srgb(_flatten(upright), profile)
    if size is None:
        return flat
    if image.fitting and image.fitting.fit == "pad":
        return ImageOps.pad(flat, size, Image.Resampling.LANCZOS, color=_PADDING)
    return ImageOps.fit(flat, size, Image.Resampling.LANCZOS)


def _can_blend(image: Image.Image) -> bool:
    """Return whether pixels can be averaged: no palette, and no colour that means transparent."""
    return image.mode in {"L", "LA", "RGB", "RGBA", "CMYK"} and "transparency" not in image.info


def _reduce(image: Image.Image, scale: float) -> None:
    """Decode a large image at a smaller scale, which saves memory and time."""
    longest = math.ceil(max(image.size) * scale)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)


def _flatten(image: Image.Image) -> Image.Image:
    """Convert the image to eight bits per channel without transparency."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        foreground = image.convert("RGBA")
        background = Image.new("RGBA", foreground.size, _BACKGROUND)
        return Image.alpha_composite(background, foreground).convert("RGB")
    return image if image.mode in {"L", "CMYK"} else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the colours to sRGB, in which players show a video without a profile."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):  # a damaged profile, or one for another kind of image
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            if converted := ImageCms.profileToProfile(image, source, target, outputMode="RGB"):
                return converted
    return image.convert("RGB")
