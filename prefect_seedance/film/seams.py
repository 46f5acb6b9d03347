"""Look at archived clips: what is in each, and whether each cut holds."""

import asyncio
import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_seedance.api.transport import fetch
from prefect_seedance.clips.archive import Clip, fetch_video
from prefect_seedance.clips.image_hosting import hosted_key
from prefect_seedance.clips.records import clip_prefix
from prefect_seedance.errors import SeedanceError
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import MAX_IMAGE_BYTES
from prefect_seedance.video import scan as watching
from prefect_seedance.video.scan import Interval, Scan
from prefect_seedance.video.similarity import similarity

_FETCH_SECONDS = 20.0
"""For an image from elsewhere, which only serves a comparison."""

_JPEG = {"quality": 85}
"""Measured: what that loses lowers a likeness by less than 0.01."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class VideoInspection(_Value):
    """What looking at a whole video once has found; it follows from the video's bytes alone.

    Attributes:
        schema_version: Grows whenever the same video would be judged otherwise.
        sha256: Of the video that was looked at.
        black: Where the picture is black.
        frozen: Where the picture stands still.
        silent: Where the sound track is silent; empty if there is none.
        has_sound: Whether there is a sound track.
        start_still: Key of the first picture, a JPEG of at most 360 lines.
        middle_still: Key of the picture at half the time.
        end_still: Key of the last picture.
    """

    schema_version: Literal[1] = 1
    sha256: str
    black: tuple[Interval, ...] = ()
    frozen: tuple[Interval, ...] = ()
    silent: tuple[Interval, ...] = ()
    has_sound: bool
    start_still: str
    middle_still: str
    end_still: str
    inspected_at: datetime


class Similarity(_Value):
    """How alike two pictures are that should be one.

    Attributes:
        ssim: Structural similarity, of brightness or colours, whichever is less: 1.0 is identical; two
            pictures of one place reach about 0.8. None if they could not be compared.
        reason: Why not.
    """

    ssim: float | None = None
    reason: str | None = None


class Seams(_Value):
    """How well a clip meets what it should meet; None where there is nothing to meet.

    Attributes:
        start: Its first picture, and the image it was to begin at.
        end: Its last picture, and the image it was to end at.
        next: Its last picture, and the next clip's first.
    """

    start: Similarity | None = None
    end: Similarity | None = None
    next: Similarity | None = None


class ClipInspection(_Value):
    """What there is to say of a clip by itself.

    Attributes:
        start: Its first picture, and the image it was to begin at; None if there is no such image.
        end: Its last picture, and the image it was to end at.
    """

    inspection: VideoInspection
    start: Similarity | None = None
    end: Similarity | None = None


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """Looks at the archived clips of one store, as many at a time as there are processors."""

    store: Store
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    _watchers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="seedance-watcher")
    )

    async def inspect(self, clip: Clip, pictures: Sequence[SourceImage] = ()) -> ClipInspection:
        """Look at a clip, unless that has been done; what was found lies beside it, with three stills.

        Args:
            clip: An archived one.
            pictures: What it was to begin and end at.

        Raises:
            ArchiveError: If the archive cannot be read or written, or the video is damaged.
        """
        key = f"{clip_prefix(clip.fingerprint)}look-{clip.sha256[:12]}.json"
        known = await self._recall(key)
        if known and not _is_wanting(known, pictures):
            return known
        async with self._gate:
            with await fetch_video(self.store, clip) as file:
                sight = await asyncio.get_running_loop().run_in_executor(
                    self._watchers,
                    lambda: watching.watch(file, duration_seconds=clip.facts.duration_seconds),
                )
            look = ClipInspection(
                inspection=await self._kept(clip, sight), **await self._compared(sight, pictures)
            )
        await self.store.put(key, look.model_dump_json(indent=2).encode())
        return look

    async def compare_next(self, look: ClipInspection, following: ClipInspection) -> Similarity:
        """Compare a clip's last picture with the first of the clip that follows it."""
        stills = look.inspection.end_still, following.inspection.start_still
        try:
            contents = await asyncio.gather(*[self.store.read(key) for key in stills])
        except SeedanceError as error:
            return Similarity(reason=str(error))
        end, start = (_opened(content) for content in contents)
        if end is None or start is None:
            return Similarity(reason="a still is missing in the archive")
        return Similarity(ssim=await self._measure(end, start))

    async def _recall(self, key: str) -> ClipInspection | None:
        content = await self.store.read(key)
        try:
            return ClipInspection.model_validate_json(content) if content else None
        except ValidationError:  # of an older version; looking again costs nothing
            return None

    async def _kept(self, clip: Clip, sight: Scan) -> VideoInspection:
        """Store the stills of what was seen."""
        stills = {"start": sight.start, "middle": sight.middle, "end": sight.end}
        keys = {
            name: f"{clip_prefix(clip.fingerprint)}still-{clip.sha256[:12]}-{name}.jpg" for name in stills
        }
        for name, picture in stills.items():
            await self.store.put(keys[name], _jpeg(picture), media_type="image/jpeg")
        return VideoInspection(
            sha256=clip.sha256,
            black=sight.black,
            frozen=sight.frozen,
            silent=sight.silent,
            has_sound=sight.has_sound,
            start_still=keys["start"],
            middle_still=keys["middle"],
            end_still=keys["end"],
            inspected_at=datetime.now(UTC),
        )

    async def _compared(self, sight: Scan, pictures: Sequence[SourceImage]) -> Mapping[str, Similarity]:
        """Compare both ends of a clip with the pictures that it was made from."""
        ends = {"start": sight.start, "end": sight.end}
        return {
            name: await self._likeness(still, picture)
            for (name, still), picture in zip(ends.items(), pictures, strict=False)
        }

    async def _likeness(self, still: Image.Image, picture: SourceImage) -> Similarity:
        try:
            content = await (self._hosted(picture) if picture.is_local else _elsewhere(picture.source))
        except SeedanceError as error:
            return Similarity(reason=str(error))
        meant = await asyncio.to_thread(_opened, content)
        if meant is None:
            return Similarity(reason=f"the image {picture.stem} is not there any more, or cannot be decoded")
        return Similarity(ssim=await self._measure(still, ImageOps.fit(meant, still.size)))

    async def _hosted(self, picture: SourceImage) -> bytes | None:
        """Return the image as the API got it."""
        return await self.store.read(hosted_key(picture))

    async def _measure(self, a: Image.Image, b: Image.Image) -> float:
        return round(await asyncio.to_thread(similarity, a, b), 4)


def _is_wanting(look: ClipInspection, pictures: Sequence[SourceImage]) -> bool:
    """Tell whether something was not compared that may be by now."""
    found = (look.start, look.end)
    return any(each is None or each.ssim is None for each in found[: len(pictures)])


async def _elsewhere(url: str) -> bytes | None:
    """Return the content at a URL, or None if there is none or it is too large for an image."""
    found = await fetch(url, max_bytes=MAX_IMAGE_BYTES, timeout_seconds=_FETCH_SECONDS)
    return found.content if found.is_success and len(found.content) <= MAX_IMAGE_BYTES else None


def _opened(content: bytes | None) -> Image.Image | None:
    """Decode a picture, upright."""
    try:
        with Image.open(io.BytesIO(content or b"")) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **_JPEG)
    return file.getvalue()
