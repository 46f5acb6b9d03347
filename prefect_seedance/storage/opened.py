"""Open an object as a file, with its digest."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from prefect_seedance.storage.backends import translated_errors
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import open_temporary_file

Opened = tuple[BinaryIO, str]
"""A file to read, which the caller closes, and its SHA-256 in hexadecimal."""


async def open_object(store: Store, key: str) -> Opened | None:
    """Open an object to read; return None if there is no such object.

    That of a folder is opened where it is; that of a bucket is downloaded to an unnamed temporary file.

    Raises:
        ArchiveError: If it cannot be read, or the temporary file cannot be written.
    """
    if store.folder is None:
        return await _download(store, key)
    with translated_errors(f"read {store.link(key)}"):
        return await _open(store.folder / key)


async def _open(path: Path) -> Opened | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with _closed_on_error(file):
        digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
    return file, digest.hexdigest()


async def _download(store: Store, key: str) -> Opened | None:
    file = open_temporary_file()
    with _closed_on_error(file):
        sha256 = await store.fetch(key, file)
    if sha256:
        return file, sha256
    file.close()
    return None


@contextmanager
def _closed_on_error(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise
