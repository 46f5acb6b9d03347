"""Temporary files that nobody can find, and that vanish with whatever process holds them."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import SEEK_SET
from typing import TYPE_CHECKING, BinaryIO

from prefect_seedance.errors import ArchiveError

if TYPE_CHECKING:
    from typing_extensions import Buffer


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Open a temporary file, in the folder that TMPDIR names.

    Raises:
        ArchiveError: It cannot be made or written; also for what is done with it within.
    """
    with translated_errors(), tempfile.TemporaryFile(prefix="seedance-") as file:
        yield file


@contextmanager
def translated_errors() -> Iterator[None]:
    """Say what to do about whatever goes wrong with temporary files inside."""
    try:
        yield
    except TimeoutError:  # which is an OSError too, but a deadline's
        raise
    except OSError as error:
        raise ArchiveError(
            f"The temporary folder {tempfile.gettempdir()} cannot be written ({error.strerror}); "
            "make room there, or name another in TMPDIR"
        ) from error


class Reel(io.RawIOBase):
    """A temporary file to mux into, whose troubles are not taken for those of what is muxed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        """As of files."""
        return True

    def seekable(self) -> bool:
        """As of files."""
        return True

    def write(self, content: "Buffer", /) -> int:
        """Write, or say in the archive's words why not."""
        with translated_errors():
            return self._file.write(content)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """As of files."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of files."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """As of files."""
        return self._file.truncate(size)
