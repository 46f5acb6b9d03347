"""Find and inspect the files that a document names."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from prefect_seedance.api.capabilities import FileLimits
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.files import read_named
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import check_size as check_image_size
from prefect_seedance.storyboard.image_inspection import inspect_bytes, inspect_file
from prefect_seedance.storyboard.media import WORDS, Medium, SourceMedia
from prefect_seedance.storyboard.media_inspection import check_size, inspect_media
from prefect_seedance.storyboard.typos import TYPOGRAPHIC_QUOTES

ObjectReader = Callable[[Location, Callable[[int], None]], bytes]
"""Returns the content of a file in a store, or raises StoryboardError. It first passes the file's size to the
function, which raises StoryboardError if the file is too large to read."""

FileT = TypeVar("FileT", SourceImage, SourceMedia)


@dataclass(frozen=True, kw_only=True)
class NamedFiles:
    """The files that a document names.

    Attributes:
        allow_outside: Permit absolute paths outside the document's folder.
        read_object: Returns the content of a file in a store; called from worker threads.
        is_cancelled: Whether no file need be read any more; called from worker threads.
    """

    document: Document
    allow_outside: bool
    read_object: ObjectReader
    is_cancelled: Callable[[], bool]

    def image(self, name: str, *, model: str) -> SourceImage | str:
        """Return the image of this name, or an error message."""

        def inspect(target: Path | Location | str) -> SourceImage:
            if isinstance(target, Location):
                content = self.read_object(target, partial(check_image_size, source=str(target)))
                return inspect_bytes(content, source=str(target), model=model)
            if isinstance(target, Path):
                return inspect_file(target, model=model)
            return SourceImage.from_url(target)

        return self._found(name, "an image file", inspect)

    def media(self, medium: Medium, name: str, *, limits: FileLimits) -> SourceMedia | str:
        """Return the video or the audio file of this name, or an error message."""

        def inspect(target: Path | Location | str) -> SourceMedia:
            if isinstance(target, str):
                return SourceMedia.from_url(target)
            check = partial(check_size, source=str(target), medium=medium, limits=limits)
            if isinstance(target, Location):
                content = self.read_object(target, check)
            else:
                content = read_named(target, noun=WORDS[medium], max_bytes=limits.max_bytes)
                if len(content) > limits.max_bytes:
                    check(target.stat().st_size)
            return inspect_media(content, source=str(target), medium=medium, limits=limits)

        return self._found(name, f"a file with {'a video' if medium == 'video' else 'sound'}", inspect)

    def _found(self, name: str, what: str, inspect: Callable[[Path | Location | str], FileT]) -> FileT | str:
        if self.is_cancelled():  # a thread cannot be stopped, but need not inspect the remaining files
            return "was not read, because loading was cancelled"
        if not name:
            return f"is empty; name {what} or an https URL"
        try:
            return inspect(self.document.locate(name, allow_outside=self.allow_outside))
        except StoryboardError as error:
            is_quoted = name[0] in TYPOGRAPHIC_QUOTES
            return f"{error}; leave out its quotes, or use straight ones" if is_quoted else str(error)
