"""Inspect archived clips, and compare their ends with their images and neighbours."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from PIL import Image, ImageOps
from pydantic import ValidationError

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.api.resource import fetch
from prefect_seedance.clips.archive import Clip, fetch_video
from prefect_seedance.clips.image_hosting import hosted_key
from prefect_seedance.clips.records import clip_prefix
from prefect_seedance.errors import ArchiveError, SeedanceError, StoryboardError
from prefect_seedance.film.inspections import ClipInspection, Similarity, VideoInspection
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_reader import MAX_PIXELS, open_image
from prefect_seedance.video.decoding import examine_foreign
from prefect_seedance.video.findings import Scan
from prefect_seedance.video.kept_scans import KeptScans

_FETCH_SECONDS = 20.0
"""For an image from elsewhere, which only serves a comparison."""

_MAX_FETCHED_BYTES = max(each.max_image_bytes for each in CAPABILITIES.values())
"""The API itself fetches no larger image."""

_MAX_FOREIGN_PIXELS = 25_000_000
"""Decoding takes 200 MB. A larger image from elsewhere is not compared."""

_COMPARED_SIZE = (1280, 1280)
"""A JPEG is decoded at the smallest scale above it. Comparing needs 256 lines."""


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """Inspects the archived clips of one store, as many at a time as there are processors.

    Attributes:
        policy: Which hosts may be read from, to compare a clip with an image at a URL.
        scans: Of videos that were archived a moment ago, which are not decoded again.
    """

    store: Store
    policy: HostPolicy = PUBLIC_HOSTS
    scans: KeptScans = field(default_factory=KeptScans)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    _comparer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="seedance-compare")
    )
    """One thread: each thread that ever held images keeps some megabytes of memory."""
    _scanners: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="seedance-scan")
    )

    async def inspect(self, clip: Clip, images: Sequence[SourceImage] = ()) -> ClipInspection:
        """Inspect a clip, unless that has been done; store the findings and three stills beside it.

        Args:
            clip: An archived one.
            images: Its start image and its end image, or fewer.

        Raises:
            ArchiveError: If the archive cannot be read or written, or the video is damaged.
        """
        key = f"{clip_prefix(clip.fingerprint)}look-{clip.sha256[:12]}.json"
        known = await self._recall(key)
        if known and not _is_incomplete(known, images):
            return known
        async with self._gate:
            scanned = self.scans.take(clip.key)
            if scanned is None or (images and not scanned.ends):
                scanned = await self._scan(clip, wants_ends=bool(images))
            inspection = ClipInspection(
                inspection=await self._store_stills(clip, scanned), **await self._compare(scanned, images)
            )
        await self.store.put(key, inspection.model_dump_json(indent=2).encode())
        return inspection

    async def _scan(self, clip: Clip, *, wants_ends: bool) -> Scan:
        """Decode a clip that this run has not verified itself."""
        with await fetch_video(self.store, clip) as file:
            found = await examine_foreign(file, wants_ends=wants_ends, executor=self._scanners)
        if found.scan is None:
            raise ArchiveError(f"{self.store.link(clip.key)} cannot be scanned: {found.scan_error}")
        return found.scan

    async def compare_next(self, inspection: ClipInspection, following: ClipInspection) -> Similarity:
        """Compare a clip's last frame with the first frame of the following clip.

        Raises:
            ArchiveError: If the archive cannot be read.
        """
        stills = inspection.inspection.end_still, following.inspection.start_still
        async with self._gate:  # or the images of all cuts would be in memory at once
            end, start = await asyncio.gather(*map(self.store.read, stills))
            compare = partial(_compare_stills, end, start)
            return await asyncio.get_running_loop().run_in_executor(self._comparer, compare)

    async def _recall(self, key: str) -> ClipInspection | None:
        content = await self.store.read(key)
        try:
            return ClipInspection.model_validate_json(content) if content else None
        except ValidationError:  # of an older version; inspecting again costs nothing
            return None

    async def _store_stills(self, clip: Clip, scanned: Scan) -> VideoInspection:
        """Store the stills of a scan."""
        stills = {"start": scanned.start, "middle": scanned.middle, "end": scanned.end}
        keys = {
            name: f"{clip_prefix(clip.fingerprint)}still-{clip.sha256[:12]}-{name}.jpg" for name in stills
        }
        puts = [self.store.put(keys[name], image, media_type="image/jpeg") for name, image in stills.items()]
        await asyncio.gather(*puts)
        return VideoInspection(
            sha256=clip.sha256,
            black=scanned.black,
            frozen=scanned.frozen,
            silent=scanned.silent,
            has_sound=scanned.has_sound,
            start_still=keys["start"],
            middle_still=keys["middle"],
            end_still=keys["end"],
            inspected_at=datetime.now(UTC),
        )

    async def _compare(self, scanned: Scan, images: Sequence[SourceImage]) -> Mapping[str, Similarity]:
        """Compare both ends of a clip with its images."""
        found = await asyncio.gather(*map(self._similarity, scanned.ends, images))
        return dict(zip(("start", "end"), found, strict=False))

    async def _similarity(self, still: Image.Image, image: SourceImage) -> Similarity:
        try:
            content = await (self._hosted(image) if image.is_local else self._elsewhere(image.source))
        except SeedanceError as error:
            return Similarity(reason=str(error))
        most = MAX_PIXELS if image.is_local else _MAX_FOREIGN_PIXELS
        ssim = await asyncio.to_thread(_compare_image, still, content, max_pixels=most)
        if ssim is None:
            return Similarity(reason=f"the image {image.stem} is missing, too large, or cannot be decoded")
        return Similarity(ssim=ssim)

    async def _hosted(self, image: SourceImage) -> bytes | None:
        """Return the image as the API got it."""
        return await self.store.read(hosted_key(image))

    async def _elsewhere(self, url: str) -> bytes | None:
        """Return the content at a URL, or None if there is none or it is too large for an image."""
        found = await fetch(
            url, policy=self.policy, max_bytes=_MAX_FETCHED_BYTES, timeout_seconds=_FETCH_SECONDS
        )
        return found.content if found.is_success and len(found.content) <= _MAX_FETCHED_BYTES else None


def _compare_image(still: Image.Image, content: bytes | None, *, max_pixels: int) -> float | None:
    """Compare a frame with an image that is cropped to its ratio; return None without an image."""
    expected = _decoded(content, max_pixels=max_pixels)
    return None if expected is None else _rounded(still, ImageOps.fit(expected, still.size))


def _compare_stills(end: bytes | None, start: bytes | None) -> Similarity:
    a, b = _decoded(end), _decoded(start)
    if a is None or b is None:
        return Similarity(reason="a still is missing in the archive")
    return Similarity(ssim=_rounded(a, b))


def _rounded(a: Image.Image, b: Image.Image) -> float:
    # Loads FFmpeg, which few commands need.
    from prefect_seedance.video.similarity import similarity  # noqa: PLC0415 -- see above

    return round(similarity(a, b), 4)


def _is_incomplete(inspection: ClipInspection, images: Sequence[SourceImage]) -> bool:
    """Return whether a comparison is missing that may succeed now."""
    found = (inspection.start, inspection.end)
    return any(each is None or each.ssim is None for each in found[: len(images)])


def _decoded(content: bytes | None, *, max_pixels: int = MAX_PIXELS) -> Image.Image | None:
    """Decode an image, rotated upright and not larger than a comparison needs."""
    try:
        with open_image(content or b"", source="the image", max_pixels=max_pixels) as image:
            image.draft("RGB", _COMPARED_SIZE)
            ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except StoryboardError:
        return None
