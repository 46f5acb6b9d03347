"""Put a storyboard's images where the API can fetch them."""

import asyncio
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.options import MAX_IMAGES_LIFETIME_SECONDS, Hosting
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import image_fit
from prefect_seedance.storyboard.image import SourceImage

_MAKERS: Final = ThreadPoolExecutor(2, thread_name_prefix="seedance-images")
"""As many images are in the making at once; the largest that we take needs half a gigabyte of memory."""


@dataclass(frozen=True, kw_only=True)
class ImageHost:
    """Hosts images in the archive's store, once by content, below ``images/``.

    Attributes:
        images_url: Where the archive's ``images`` folder can be fetched from the internet; needed
            only if the store cannot sign URLs, as a folder cannot.
        lifetime_seconds: How long a signed URL is good; each attempt gets a new one.
        objects: Where images are that lie in a store themselves.
        turns: One for each image, so that two clips that share it do not both make it.
    """

    store: Store
    objects: Objects
    turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    images_url: str = ""
    lifetime_seconds: float = Hosting().images_lifetime_seconds

    async def check(self, pictures: Iterable[SourceImage]) -> str:
        """Make sure that every picture can be hosted, before anything is spent.

        Returns:
            What people should know all the same; empty if nothing.

        Raises:
            SetupError: If there are local images, and no address under which to fetch them; or if their
                URLs cannot be signed for so long.
        """
        if not 0 < self.lifetime_seconds <= MAX_IMAGES_LIFETIME_SECONDS:
            raise SetupError(
                f"URLs of images cannot be signed for {self.lifetime_seconds:,.0f} s; "
                "ask for more than nothing and at most 7 days"
            )
        if self.images_url and not self.images_url.startswith(("https://", "http://")):
            raise SetupError(f"The address of the images is no https URL: {self.images_url!r}")
        local = next((picture for picture in pictures if picture.is_local), None)
        if local and not await self._address(local):
            raise SetupError(
                f"{Path(local.source).name} is a local image, and the API cannot fetch it from the archive "
                f"{self.store.url}, which has no public address. Archive in a bucket (s3://, gs://, az://), "
                "say with --images-url where the archive's images folder is served, "
                "or give the images as https URLs"
            )
        return self._short_lived() if local and not self.images_url else ""

    def _short_lived(self) -> str:
        """Say that the URLs end before their time, if it is known that those who sign them do."""
        until = self.store.expires_at
        if until is None or datetime.now(UTC) + timedelta(seconds=self.lifetime_seconds) <= until:
            return ""
        return (
            f"The credentials of {self.store.name} end at {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC, and "
            "with them the URLs of the images: a generation that the API begins later finds none, and may be "
            "billed. Use credentials that last longer, or say with --images-lifetime that less will do"
        )

    async def host(self, picture: SourceImage) -> str:
        """Return a URL under which the API can fetch the picture.

        Raises:
            StoryboardError: If the file is not the one that was planned with.
            SetupError: If there is no such address.
        """
        if not picture.is_local:
            return picture.source
        async with self.turns.setdefault(hosted_key(picture), asyncio.Lock()):
            if await self.store.size_bytes(hosted_key(picture)) is None:
                await self._put(picture)
        address = await self._address(picture)
        if address is None:
            raise SetupError(f"{self.store.url} has no public address for {picture.source}")
        return address

    async def _put(self, picture: SourceImage) -> None:
        content, loop = await self._content(picture), asyncio.get_running_loop()
        sent = await loop.run_in_executor(_MAKERS, _made, picture, content)
        key = hosted_key(picture)
        await self.store.put(key, sent, media_type=f"image/{key.rpartition('.')[2]}")

    async def _content(self, picture: SourceImage) -> bytes:
        address = Location.parse(picture.source)
        if address:
            return await self.objects.read(address)
        try:
            return await asyncio.to_thread(Path(picture.source).read_bytes)
        except OSError as error:
            raise StoryboardError(f"{picture.source} cannot be read any more ({error.strerror})") from error

    async def _address(self, picture: SourceImage) -> str | None:
        key = hosted_key(picture)
        if self.images_url:
            return f"{self.images_url.rstrip('/')}/{key.rpartition('/')[2]}"
        return await self.store.sign(key, lifetime=timedelta(seconds=self.lifetime_seconds))


def hosted_key(picture: SourceImage) -> str:
    """Return where in the archive the picture lies as the API gets it."""
    return f"images/{picture.hosted_name}"


def _made(picture: SourceImage, content: bytes) -> bytes:
    """Return what the API is given, of content that must still be what the fingerprint was made from."""
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise StoryboardError(f"{picture.source} changed while it was being produced; run again")
    return image_fit.convert(picture, content)
