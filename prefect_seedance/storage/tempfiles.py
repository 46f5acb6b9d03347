"""Unnamed temporary files, which disappear with the process that opened them."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import SEEK_SET
from typing import TYPE_CHECKING, BinaryIO

from prefect_seedance.errors import SetupError, TemporaryFileError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PROBE_BYTES = 1_000_000
"""As large as a small clip: a full disk may still create an empty file."""


def probe_temporary_folder() -> None:
    """Check that files can be created and written in the folder for temporary files.

    Raises:
        SetupError: The folder cannot be used.
    """
    try:
        with temporary_file() as file:
            file.write(bytes(_PROBE_BYTES))
    except TemporaryFileError as error:
        raise SetupError(f"{error}. Nothing was spent") from error


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Open a temporary file in the folder for temporary files.

    Raises:
        TemporaryFileError: The file cannot be created or written, also inside the context.
    """
    with translated_errors(), open_temporary_file() as file:
        yield file


def open_temporary_file() -> BinaryIO:
    """Open a temporary file; the caller closes it.

    Raises:
        TemporaryFileError: The file cannot be created.
    """
    with translated_errors():
        return tempfile.TemporaryFile(prefix="seedance-")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate the errors of a temporary file into one that names the remedy."""
    try:
        yield
    except TimeoutError:  # an OSError as well, but raised by a deadline
        raise
    except OSError as error:
        raise TemporaryFileError(
            f"The temporary folder {tempfile.gettempdir()} cannot be written ({error.strerror}); "
            "free space there, or set TMPDIR to another folder"
        ) from error


class GuardedFile(io.RawIOBase):
    """A temporary file for an encoder, whose errors are not mistaken for the encoder's own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: "Buffer", /) -> int:
        """Write the content, and translate an error."""
        with translated_errors():
            return self._file.write(content)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a position, and return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Resize the file, and return its size."""
        return self._file.truncate(size)
