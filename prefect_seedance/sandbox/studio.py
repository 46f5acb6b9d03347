"""A few threads that make films, each film once."""

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
from prefect_seedance.sandbox.film import Recipe, shoot
from prefect_seedance.sandbox.generation import Film
from prefect_seedance.sandbox.pictures import frame_size

# Films are made one after another by few threads, so that neither memory nor status reads suffer.
_THREADS = 2


class Studio:
    """Makes films in a temporary folder that goes away with the process."""

    def __init__(self, *, frame_rate: int) -> None:
        self._frame_rate = frame_rate
        self._folder = Path(tempfile.mkdtemp(prefix="seedance-sandbox-"))
        self._films: dict[str, Future[Film]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="studio")
        self._closed = threading.Event()
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def keep(self, picture: bytes) -> Path:
        """Store a picture under the digest of its content; one that is there may be read at this moment."""
        path = self._folder / hashlib.sha256(picture).hexdigest()
        if not path.exists():
            path.write_bytes(picture)
        return path

    async def make(self, asked: Input, pictures: Sequence[Path]) -> Film:
        """Return the film for an input and its fetched pictures.

        Raises:
            UnusablePictureError: A picture cannot be decoded.
        """
        recipe = Recipe(
            pictures=tuple(pictures),
            words=asked.prompt,
            size=frame_size(asked.resolution, asked.aspect_ratio),
            seconds=asked.duration,
            frame_rate=self._frame_rate,
            sound=asked.sound,
            fixed_lens=asked.fixed_lens,
        )
        film = self._films.get(recipe.digest)
        if film is None or film.cancelled():
            film = self._films[recipe.digest] = self._threads.submit(self._shoot, recipe)
        return await asyncio.wrap_future(film)

    def _shoot(self, recipe: Recipe) -> Film:
        path = self._folder / f"{recipe.digest}.mp4"
        unfinished = path.with_suffix(".part")
        shoot(recipe, unfinished, interrupted=self._closed.is_set)
        return Film(path=unfinished.replace(path), digest=recipe.digest)

    def close(self) -> None:
        """Stop the threads and remove the folder."""
        self._closed.set()
        self._threads.shutdown(cancel_futures=True)
        self._remove_folder()
