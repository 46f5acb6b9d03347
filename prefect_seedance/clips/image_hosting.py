"""Publish source files where the API can fetch them."""

import asyncio
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

from prefect_seedance.api import wall_clock
from prefect_seedance.doors import option
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.options import MAX_IMAGES_LIFETIME_SECONDS, Hosting
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import image_fit
from prefect_seedance.storyboard.files import read_named
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import read_image
from prefect_seedance.storyboard.source_file import SourceFile

_CONVERTERS: Final = ThreadPoolExecutor(2, thread_name_prefix="seedance-images")
"""Two images at a time: converting the largest that is accepted needs half a gigabyte of memory."""


_MEDIA_TYPES: Final = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
"""By the suffix of a hosted file that is no image."""


@dataclass(frozen=True, kw_only=True)
class ImageHost:
    """Hosts files in the archive's store below ``images/``, each once by its content.

    Attributes:
        images_url: Public URL of the archive's ``images`` folder; needed only if the store cannot sign
            URLs, as a folder cannot.
        lifetime_seconds: How long a signed URL is valid; each attempt gets a new one.
        objects: Reads source files that are stored in a bucket.
        turns: One lock per file, so that clips that share it convert and upload it once.
    """

    store: Store
    objects: Objects
    turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    images_url: str = ""
    lifetime_seconds: float = Hosting().images_lifetime_seconds

    async def check(self, files: Iterable[SourceFile]) -> str:
        """Check that every file can be hosted, before anything is spent.

        Returns:
            A warning, or an empty string.

        Raises:
            SetupError: A file is local and would have no public URL, or URLs cannot be signed for so long.
        """
        if not 0 < self.lifetime_seconds <= MAX_IMAGES_LIFETIME_SECONDS:
            raise SetupError(
                f"The URLs of images must be valid for more than 0 s and at most 7 days, "
                f"not for {self.lifetime_seconds:,.0f} s"
            )
        if self.images_url and not self.images_url.startswith(("https://", "http://")):
            raise SetupError(
                f"The images URL {self.images_url!r} is not an http or https URL; give the public URL of the "
                "archive's images folder"
            )
        local = next((file for file in files if file.is_local), None)
        if local and not await self._url(local):
            noun = "image" if isinstance(local, SourceImage) else "file"
            raise SetupError(
                f"{Path(local.source).name} is a local {noun}, and the API cannot fetch it from the archive "
                f"{self.store.url}, which has no public URL. Serve its images with `prefect-seedance "
                f"serve-images` and set {option('images_url')} to their public URL, archive to a bucket "
                f"(s3://, gs://, az://), or give the {noun}s as https URLs"
            )
        return self._warning() if local and not self.images_url else ""

    def _warning(self) -> str:
        """Warn if the credentials that sign the URLs expire before the URLs would."""
        until = self.store.expires_at
        if until is None or wall_clock.now() + timedelta(seconds=self.lifetime_seconds) <= until:
            return ""
        return (
            f"The credentials of {self.store.name} expire at {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC, and "
            "so do the URLs of the images: the API cannot fetch them for generations that start later, and "
            "may still bill those. Use credentials that last longer, or shorten "
            f"{option('images_lifetime_seconds')}"
        )

    async def host(self, file: SourceFile) -> str:
        """Return a URL from which the API can fetch the file; upload it if needed.

        Raises:
            StoryboardError: The file has changed since it was planned.
            SetupError: The file has no public URL.
        """
        if not file.is_local:
            return file.source
        async with self.turns.setdefault(hosted_key(file), asyncio.Lock()):
            if await self.store.size_bytes(hosted_key(file)) is None:
                await self._upload(file)
        url = await self._url(file)
        if url is None:
            raise SetupError(
                f"{self.store.url} has no public URL for {file.source}; set {option('images_url')}"
            )
        return url

    async def _upload(self, file: SourceFile) -> None:
        content, loop = await self._content(file), asyncio.get_running_loop()
        converted = await loop.run_in_executor(_CONVERTERS, _converted, file, content)
        await self.store.put(hosted_key(file), converted, media_type=media_type(file))

    async def _content(self, file: SourceFile) -> bytes:
        location = Location.parse(file.source)
        if location:
            return await self.objects.read(location)
        if isinstance(file, SourceImage):
            return await asyncio.to_thread(read_image, Path(file.source))
        limit = file.size_bytes or 0  # a larger one is not the file that was planned
        return await asyncio.to_thread(read_named, Path(file.source), noun="file", max_bytes=limit)

    async def _url(self, file: SourceFile) -> str | None:
        if self.images_url:
            return self.public_url(file)
        return await self.store.sign(hosted_key(file), lifetime=timedelta(seconds=self.lifetime_seconds))

    def public_url(self, file: SourceFile) -> str:
        """Return where a file is, or will be, below the public URL."""
        return f"{self.images_url.rstrip('/')}/{file.hosted_name}"


def hosted_key(file: SourceFile) -> str:
    """Return the archive's key of the file that the API fetches."""
    return f"images/{file.hosted_name}"


def media_type(file: SourceFile) -> str:
    """Return the media type of the file that the API fetches."""
    suffix = file.hosted_name.rpartition(".")[2]
    return _MEDIA_TYPES.get(suffix, f"image/{suffix}")


def _converted(file: SourceFile, content: bytes) -> bytes:
    """Convert content for the API; it must still be the content that the fingerprint was computed from."""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise StoryboardError(f"{file.source} changed after it was planned; run again")
    return image_fit.convert(file, content) if isinstance(file, SourceImage) else content
