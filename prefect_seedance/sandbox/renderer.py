"""A thread pool that renders each video once."""

import asyncio
import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from prefect_seedance.sandbox.contract import Input
from prefect_seedance.sandbox.generation import Video
from prefect_seedance.sandbox.images import frame_size
from prefect_seedance.sandbox.video import VideoSpec, render

_THREADS = 2
"""Few threads limit the memory, and leave CPU time for status reads."""


class Renderer:
    """Render videos into a temporary folder, which is removed at the end of the process."""

    def __init__(self, *, frame_rate: int) -> None:
        self._frame_rate = frame_rate
        self._folder = Path(tempfile.mkdtemp(prefix="seedance-sandbox-"))
        self._videos: dict[str, Future[Video]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="renderer")
        self._closed = threading.Event()
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def keep(self, image: bytes) -> Path:
        """Store an image under its digest; never rewrite a file that a thread may be reading."""
        path = self._folder / hashlib.sha256(image).hexdigest()
        if not path.exists():
            path.write_bytes(image)
        return path

    async def make(self, requested: Input, images: Sequence[Path]) -> Video:
        """Return the video for an input and its downloaded images.

        Raises:
            UnusableImageError: An image cannot be decoded.
        """
        spec = VideoSpec(
            images=tuple(images),
            prompt=requested.prompt,
            size=frame_size(requested.resolution, requested.aspect_ratio),
            seconds=requested.duration,
            frame_rate=self._frame_rate,
            sound=getattr(requested, "sound", False),  # a model may lack a setting
            fixed_lens=getattr(requested, "fixed_lens", False),
        )
        video = self._videos.get(spec.digest)
        if video is None or video.cancelled():
            video = self._videos[spec.digest] = self._threads.submit(self._render, spec)
        return await asyncio.wrap_future(video)

    def _render(self, spec: VideoSpec) -> Video:
        path = self._folder / f"{spec.digest}.mp4"
        unfinished = path.with_suffix(".part")
        render(spec, unfinished, interrupted=self._closed.is_set)
        return Video(path=unfinished.replace(path), digest=spec.digest)

    def close(self) -> None:
        """Stop the threads and remove the folder."""
        self._closed.set()
        self._threads.shutdown(cancel_futures=True)
        self._remove_folder()
