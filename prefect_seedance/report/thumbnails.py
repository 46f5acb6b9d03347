"""Scale stills for a page, the smaller the more there are."""

import asyncio
import base64
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import TypeVar

from PIL import Image

from prefect_seedance.errors import StoryboardError
from prefect_seedance.film.inspections import VideoInspection
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image_reader import open_image

_T = TypeVar("_T")

_TOTAL_PIXELS = 20_000_000
"""Pixels of all images of a page; measured, this gives 4 MB for 100 clips and 10 MB for 1,000."""

_MAX_WIDTH = 640
"""Twice the width of a frame on the page, for screens with two device pixels per CSS pixel."""

_QUALITY = 72

_MAX_HEIGHT_RATIO = 4
"""Height limit as a multiple of the width; no frame reaches it."""

_REDUCING_GAP = 1.0
"""Pillow decodes at a half or a quarter of the size if the target is not larger: up to twice as fast."""

_CLIPS_AT_ONCE = 4
"""Clips whose stills are in memory at once, about 0.15 MB each."""

STILLS_PER_CLIP = 3

Stills = tuple[bytes | None, bytes | None, bytes | None]
"""The first, middle and last frame of a clip as JPEG files; None for a missing one."""

NO_STILLS: Stills = (None, None, None)


class Thumbnails:
    """Scales the stills of a production's clips, and keeps them until its report takes them.

    One thread does all work with images, because each thread that ever held some keeps their memory. Close
    this after use.
    """

    def __init__(self, store: Store, *, clips: int) -> None:
        """Prepare to scale.

        Args:
            store: The archive of the clips.
            clips: Number of clips on the page.
        """
        self._store = store
        self._images = STILLS_PER_CLIP * clips
        self._gate = asyncio.Semaphore(_CLIPS_AT_ONCE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seedance-report")
        self._tasks: dict[tuple[str, int], asyncio.Task[Stills]] = {}

    async def aclose(self) -> None:
        """Cancel the unfinished work."""
        self._thread.shutdown(wait=False, cancel_futures=True)  # waiting would block the event loop
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def begin(self, inspection: VideoInspection, *, ratio: float) -> None:
        """Scale the stills of a clip in the background, unless that has begun.

        Args:
            inspection: Of the clip.
            ratio: Width to height of most clips of the page.
        """
        self._begun(inspection, max_width(self._images, ratio=ratio))

    async def take(self, inspection: VideoInspection, *, ratio: float) -> Stills:
        """Return the scaled stills of a clip, and keep them no longer.

        Raises:
            ArchiveError: If the stills cannot be read.
        """
        width = max_width(self._images, ratio=ratio)
        task = self._begun(inspection, width)
        try:
            return await task
        finally:
            self._tasks.pop((inspection.start_still, width), None)

    def in_thread(self, work: Callable[[], _T]) -> Awaitable[_T]:
        """Run a function in the thread for images."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _begun(self, inspection: VideoInspection, width: int) -> asyncio.Task[Stills]:
        """Return the task that scales the stills of a clip; one that failed begins again."""
        key = inspection.start_still, width
        task = self._tasks.get(key)
        if task is None or (task.done() and task.exception()):
            task = self._tasks[key] = asyncio.create_task(self._scale(inspection, width))
        return task

    async def _scale(self, inspection: VideoInspection, width: int) -> Stills:
        keys = inspection.start_still, inspection.middle_still, inspection.end_still
        async with self._gate:
            stills = await asyncio.gather(*map(self._store.read, keys))
            return await self.in_thread(partial(_scaled, stills, width=width))


def _scaled(stills: Sequence[bytes | None], *, width: int) -> Stills:
    start, middle, end = (scale(still, width=width) for still in stills)
    return start, middle, end


def max_width(count: int, *, ratio: float) -> int:
    """Return the maximum width of each of ``count`` images, given their ratio of width to height."""
    return max(1, min(_MAX_WIDTH, int(math.sqrt(_TOTAL_PIXELS * ratio / max(1, count)))))


def decode(content: bytes | None, *, width: int) -> Image.Image | None:
    """Decode an image and scale it down to a width; return None if it is missing or damaged."""
    if content is None:
        return None
    try:
        with open_image(content, source="a still") as image:
            size = width, _MAX_HEIGHT_RATIO * width
            image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
            return image.convert("RGB")
    except StoryboardError:
        return None


def scale(content: bytes | None, *, width: int) -> bytes | None:
    """Scale an image down to a width, as a JPEG file; return None if it is missing or damaged."""
    image = decode(content, width=width)
    if image is None:
        return None
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def data_url(jpeg: bytes) -> str:
    """Return a URL that contains a JPEG file."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
