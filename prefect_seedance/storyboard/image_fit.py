"""The picture as the API gets it: upright, of the clip's ratio, in the colours of screens."""

import io
import math
from contextlib import suppress
from typing import Final

from PIL import Image, ImageCms, ImageOps

from prefect_seedance.storyboard.image import SourceImage

_BEHIND: Final = "white"
"""What is seen through a transparent picture, as on a page."""

_BESIDE: Final = "black"
"""What is padded with, as films are: the plainest to see, and to cut off again."""

_SPARE: Final = 2
"""How much larger than what is made a picture is decoded at least; the last step to it then stays sharp."""


def sent(picture: SourceImage, content: bytes) -> bytes:
    """Return what the API is given: the file itself, or what is made of it, as PNG, which loses nothing.

    Args:
        picture: One that was looked into.
        content: The bytes that it was found to be.
    """
    if picture.made_size is None:
        return content
    file = io.BytesIO()
    shown(picture, content).save(file, "PNG", icc_profile=None)  # sRGB goes without saying
    return file.getvalue()


def shown(picture: SourceImage, content: bytes) -> Image.Image:
    """Return the picture as the API sees it, in RGB, to look at or to compare a clip's frames with.

    It takes up to half a gigabyte of memory and some seconds for the largest that we take.

    Args:
        picture: One that was looked into.
        content: The bytes that it was found to be.
    """
    size = picture.made_size
    with Image.open(io.BytesIO(content)) as image:
        profile = image.info.get("icc_profile")
        if size and _can_shrink(image):
            _reduce(image, _SPARE * max(size[0] / (picture.width or 1), size[1] / (picture.height or 1)))
        upright = ImageOps.exif_transpose(image) if picture.is_turned else image
        upright.load()
    flat = _in_srgb(_flattened(upright), profile)
    if size is None:
        return flat
    if picture.fitting and picture.fitting.fit == "pad":
        return ImageOps.pad(flat, size, Image.Resampling.LANCZOS, color=_BESIDE)
    return ImageOps.fit(flat, size, Image.Resampling.LANCZOS)


def _can_shrink(image: Image.Image) -> bool:
    """Tell whether pixels can be blended as they are: no palette, no colour that means transparent."""
    return image.mode in {"L", "LA", "RGB", "RGBA", "CMYK"} and "transparency" not in image.info


def _reduce(image: Image.Image, share: float) -> None:
    """Decode no more of a large image than what shall come of it needs, which saves memory and time."""
    longest = math.ceil(max(image.size) * share)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)


def _flattened(image: Image.Image) -> Image.Image:
    """Give the image eight bits a colour and no transparency."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        under = Image.new("RGBA", over.size, _BEHIND)
        return Image.alpha_composite(under, over).convert("RGB")
    return image if image.mode in {"L", "CMYK"} else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring the image's colours to those that a video without a profile is shown in."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):  # a broken profile, or another kind of image's
            theirs, ours = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            if found := ImageCms.profileToProfile(image, theirs, ours, outputMode="RGB"):
                return found
    return image.convert("RGB")
