"""A folder of images as the storyboard that it comes to."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prefect_seedance.address import Address
from prefect_seedance.document import Document
from prefect_seedance.errors import StoryboardError

_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
"""Files of a folder that mean to be images, also of formats that no model takes: to skip one silently
would buy a film without it."""


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the names of all that is in a folder of this machine.

    Raises:
        StoryboardError: The folder cannot be listed.
    """
    try:
        return tuple(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise StoryboardError(
            f"{folder} cannot be listed ({error.strerror}); name a folder of images"
        ) from error


def storyboard_of(folder: Path | Address, names: Iterable[str], *, prompt: str) -> Document:
    """Return a storyboard of a folder's images in the order of their names, with one prompt for all.

    Names are ordered as people count: ``2.png`` before ``10.png``.

    Args:
        folder: Where they are.
        names: Of all that is there; what is no image is left out.
        prompt: What happens from each image to the next.

    Raises:
        StoryboardError: There are no images, or there is no prompt.
    """
    images = sorted(filter(_is_image, names), key=_as_people_count)
    if not images:
        raise StoryboardError(f"{folder} holds no images; put two or more there")
    if not prompt.strip():
        raise StoryboardError(f"{folder} needs a prompt; say what happens between its images")
    words = {
        "title": folder.name,
        "defaults": {"prompt": prompt},
        "shots": [{"image": name} for name in images],
    }
    return Document.inline(words, name=folder.name, folder=folder)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")


def _as_people_count(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name
