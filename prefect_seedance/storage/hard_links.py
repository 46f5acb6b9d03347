"""Check that a folder's file system has hard links, by which a record is created only once."""

import os
import tempfile
from pathlib import Path

from prefect_seedance.errors import SetupError


def check_hard_links(folder: Path) -> None:
    """Check a folder, or the closest existing one above it.

    Raises:
        OSError: If it cannot be written.
        SetupError: If files in it cannot have hard links, as on exFAT, on some network shares and in mounted
            buckets.
    """
    folder = folder.expanduser().absolute()
    existing = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    with tempfile.TemporaryDirectory(prefix=".seedance-", dir=existing) as probe:
        file = Path(probe) / "file"
        file.touch()
        _link(file, folder=folder)


def _link(file: Path, *, folder: Path) -> None:
    try:
        os.link(file, file.with_name("link"))
    except OSError as error:
        raise SetupError(
            f"The archive {folder} is on a file system without hard links ({error.strerror}). Without them, "
            "two runs could pay for one clip. Nothing was spent. Use a folder on another disk; for a bucket "
            "that is mounted as a folder, use its URL (s3://, gs:// or az://)"
        ) from None
