"""Find the images in a folder."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storyboard.files import read_regular
from prefect_seedance.storyboard.image_kinds import HEAD_BYTES, kind_of

_IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif", ".jxl"}
)
"""Suffixes by which an author means a file as an image, whatever its content and whether a model accepts its
format: skipping such a file would produce a film without it."""

_CAMERA_SUFFIXES: Final = frozenset({".dng", ".nef", ".arw", ".cr2", ".cr3", ".orf", ".pef", ".rw2", ".srw"})
"""Suffixes of cameras' RAW files, whose content is like that of a TIFF. Cameras store them beside JPEGs."""

_MAX_UNNAMED_BYTES: Final = 30_000_000
"""The largest stored object without an image's suffix that is read to find out whether it is an image."""

_MAX_SHOWN: Final = 10
"""The most files that a note names."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of images.

    Attributes:
        place: The folder, local or in a store.
        images: Names of the images.
        others: What the other entries are, by name, without hidden files.
    """

    place: Path | Location
    images: tuple[str, ...]
    others: Mapping[str, str]

    @property
    def note(self) -> str:
        """A sentence about the entries that are left out; empty if there are none."""
        if not self.others:
            return ""
        shown = [f"{name} ({kind})" for name, kind in sorted(self.others.items())[:_MAX_SHOWN]]
        if more := len(self.others) - len(shown):
            shown.append(f"and {more:,} more")
        return f"Left out of {self.place.name}, because they are no images: {', '.join(shown)}"


def list_folder(folder: Path) -> Folder:
    """Find the images in a local folder by their suffix, and others by their content.

    Raises:
        StoryboardError: The folder cannot be listed.
    """
    try:
        names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise StoryboardError(
            f"{folder} cannot be listed ({error.strerror}); name a folder of images"
        ) from error
    return _sorted_out(folder, {name: _local_kind(folder / name) for name in names})


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names in natural order: ``2.png`` before ``10.png``, and upper case beside lower case."""
    return sorted(names, key=_natural_key)


def _natural_key(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


async def list_stored(location: Location, names: Iterable[str], *, objects: Objects) -> Folder:
    """Find the images in a stored folder by their suffix, and others by their content.

    Args:
        location: Of the folder.
        names: Of all objects in it.
        objects: Reads them.

    Raises:
        StoryboardError: The store refuses access.
    """
    shown = [name for name in names if not name.startswith(".")]
    kinds = {name: await _stored_kind(location.child(name), objects) for name in shown}
    return _sorted_out(location, kinds)


def _sorted_out(place: Path | Location, kinds: Mapping[str, str | None]) -> Folder:
    others = {name: kind for name, kind in kinds.items() if kind is not None}
    return Folder(place=place, images=tuple(name for name in kinds if name not in others), others=others)


def _local_kind(path: Path) -> str | None:
    """Return what a file is, or None if it is meant as an image."""
    if path.is_dir():
        return "a folder"
    if _is_meant(path.name):
        return None
    try:
        return _kind(path.name, read_regular(path, max_bytes=HEAD_BYTES))
    except (OSError, StoryboardError):
        return "cannot be read"


async def _stored_kind(location: Location, objects: Objects) -> str | None:
    if _is_meant(location.name):
        return None
    if (await objects.size_bytes(location) or 0) > _MAX_UNNAMED_BYTES:
        return "a large file"
    return _kind(location.name, await objects.read(location))


def _is_meant(name: str) -> bool:
    return PurePath(name).suffix.lower() in _IMAGE_SUFFIXES


def _kind(name: str, content: bytes) -> str | None:
    if PurePath(name).suffix.lower() in _CAMERA_SUFFIXES:
        return "a camera's RAW file"
    kind = kind_of(content)
    if kind is None:
        return "of an unknown kind"
    return None if kind.is_picture else kind.name
