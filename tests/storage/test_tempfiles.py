"""Temporary files whose troubles are told as what they are."""

from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError
from prefect_seedance.storage.tempfiles import Reel, temporary_file


def test_full_disk_names_the_remedy() -> None:
    """Whoever writes to a full disk hears where that is and what to do."""
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(ArchiveError, match="TMPDIR"):
        Reel(full).write(b"film")


def test_reel_is_the_file() -> None:
    """What is written to a reel is in its file, wherever it was sought."""
    with temporary_file() as file:
        reel = Reel(file)
        reel.write(b"film")
        reel.seek(0)
        reel.write(b"F")

        file.seek(0)
        assert file.read() == b"Film"


def test_deadline_is_no_trouble_of_the_disk() -> None:
    """A deadline that comes while a temporary file is open stays one."""
    with pytest.raises(TimeoutError), temporary_file():
        raise TimeoutError
