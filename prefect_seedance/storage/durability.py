"""Keep the files of a folder through a power failure, and remove those of killed processes."""

import asyncio
import errno
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

_STAGED = re.compile(r"#\d+$")
"""Suffix of incomplete files in a folder. Source: object_store, the library below obstore."""

_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP}
"""The answers to fsync of file systems without it."""

_CONCURRENT_FLUSHES = 16
"""A disk commits concurrent flushes together. Measured: with 6 threads, 290 clips a second can be recorded as
submitted; with 16, 650; with 32 no more."""

_ABANDONED_SECONDS = 600.0
"""Far longer than any write to a folder takes."""


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove the incomplete files that killed processes left in these folders."""
    latest = time.time() - _ABANDONED_SECONDS
    for folder in folders:
        for parent, _, names in os.walk(folder):  # unlike rglob, skips a folder that is removed meanwhile
            for path in (Path(parent, name) for name in filter(_STAGED.search, names)):
                with suppress(FileNotFoundError):  # another process has completed it meanwhile
                    if path.stat().st_mtime < latest:
                        path.unlink()


class Flusher:
    """Flushes the files of one folder."""

    def __init__(self, folder: Path) -> None:
        """Start no thread before something is written."""
        self._folder = folder
        self._durable: set[Path] = set()
        """Folders that contain an object of this process, so that no other process removes them as empty."""
        self._threads = ThreadPoolExecutor(_CONCURRENT_FLUSHES, thread_name_prefix="seedance-flush")

    async def flush(self, key: str) -> None:
        """Flush a file and the folders above it to disk.

        Raises:
            OSError: If the disk reports an error.
        """
        work = partial(flush, self._folder / key, upto=self._folder, durable=self._durable)
        await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def forget(self) -> None:
        """Flush all folders again, because a deletion may remove some of them as empty."""
        self._durable.clear()


def flush(path: Path, *, upto: Path, durable: set[Path]) -> None:
    """Flush a file and its parent folders to disk, so that a power failure does not undo the write.

    Some file systems, such as network shares, cannot flush a folder.

    Args:
        path: The file.
        upto: The highest folder.
        durable: Folders whose own entries are on disk, so that those above need not be flushed; extended.
    """
    _flush_one(path)
    flushed: list[Path] = []
    for folder in path.parents:
        _flush_one(folder, is_folder=True)
        if folder == upto or folder in durable:
            break
        flushed.append(folder)
    durable.update(flushed)


def _flush_one(path: Path, *, is_folder: bool = False) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(descriptor)
