"""Put a storyboard's images where the API can fetch them."""

import asyncio
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from prefect_seedance import fitting
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.picture import Picture
from prefect_seedance.store import Store

_LIFETIME = timedelta(hours=24)
"""Of a signed URL; the provider fetches the image when the generation leaves its queue."""

_MAKERS: Final = ThreadPoolExecutor(2, thread_name_prefix="seedance-images")
"""As many images are in the making at once; the largest that we take needs half a gigabyte of memory."""


@dataclass(frozen=True, kw_only=True)
class ImageHost:
    """Hosts images in the archive's store, once by content, below ``images/``.

    Attributes:
        images_url: Where the archive's ``images`` folder can be fetched from the internet; needed
            only if the store cannot sign URLs, as a folder cannot.
    """

    store: Store
    images_url: str = ""

    async def check(self, pictures: Iterable[Picture]) -> None:
        """Make sure that every picture can be hosted, before anything is spent.

        Raises:
            SetupError: If there are local images, and no address under which to fetch them.
        """
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

    async def host(self, picture: Picture) -> str:
        """Return a URL under which the API can fetch the picture.

        Raises:
            StoryboardError: If the file is not the one that was planned with.
            SetupError: If there is no such address.
        """
        if not picture.is_local:
            return picture.source
        if await self.store.size_bytes(_key(picture)) is None:
            content = await asyncio.get_running_loop().run_in_executor(_MAKERS, _made, picture)
            kind = _key(picture).rpartition(".")[2]
            await self.store.put(_key(picture), content, media_type=f"image/{kind}")
        address = await self._address(picture)
        if address is None:
            raise SetupError(f"{self.store.url} has no public address for {picture.source}")
        return address

    async def _address(self, picture: Picture) -> str | None:
        key = _key(picture)
        if self.images_url:
            return f"{self.images_url.rstrip('/')}/{key.rpartition('/')[2]}"
        return await self.store.sign(key, lifetime=_LIFETIME)


def _key(picture: Picture) -> str:
    return f"images/{picture.hosted_name}"


def _made(picture: Picture) -> bytes:
    return fitting.sent(picture, _unchanged(picture))


def _unchanged(picture: Picture) -> bytes:
    """Read the file, which must still be what the clip's fingerprint was made from."""
    content = Path(picture.source).read_bytes()
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise StoryboardError(f"{picture.source} changed while it was being produced; run again")
    return content
