"""Read the files that an author names."""

import os
import stat
from pathlib import Path

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.names import path_suggestion


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a regular file; of a larger one, a byte more than the limit.

    A pipe or device is refused without waiting for it: opening a pipe would block until it has a writer. The
    check is made on the open file, so the file cannot be replaced in between.

    Args:
        path: Of the file.
        max_bytes: Bytes to read at most, plus one, by which the caller detects a larger file.

    Raises:
        StoryboardError: It is a folder, pipe, socket or device.
        OSError: It is missing or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise StoryboardError(f"{path} is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise StoryboardError(f"{path} is not a regular file; name a file, not a pipe or device")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)


def read_named(path: Path, *, noun: str, max_bytes: int) -> bytes:
    """Return the content of a file that an author names, as `read_regular` does.

    Args:
        path: Of the file.
        noun: What the file is, in the message about a missing one.
        max_bytes: As for `read_regular`.

    Raises:
        StoryboardError: The file is missing or irregular, or cannot be read.
    """
    try:
        return read_regular(path, max_bytes=max_bytes)
    except FileNotFoundError as error:
        raise StoryboardError(f"there is no {noun} {path}{path_suggestion(path)}") from error
    except OSError as error:
        raise StoryboardError(
            f"{path} cannot be read ({error.strerror}); check its name and its permissions"
        ) from error
