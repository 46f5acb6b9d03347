"""Names of stored files for people: hard links in folders, and names of downloads."""

import errno
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from prefect_seedance.printable import one_line

_UNSAFE: Final = re.compile(r'[/\\:*?"<>|]+')
"""Characters that some file systems do not permit in a name."""

_MAX_BYTES: Final = 200
"""Most file systems permit 255 bytes, to which numbers and suffixes are added."""

_CANNOT_LINK = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
"""The answers of file systems without hard links, such as FAT and some network shares."""


_NUMBERED: Final = re.compile(r"\d{2,}( .*)?\.mp4", re.DOTALL)
"""The names of videos for people. Files with other names belong to the author."""


def safe_name(text: str) -> str:
    """Return a name for people that every file system accepts; it may be empty."""
    name = _UNSAFE.sub("-", one_line(unicodedata.normalize("NFC", text)))
    return name.encode(errors="replace")[:_MAX_BYTES].decode(errors="ignore").strip(" .")


def download_name(name: str) -> Mapping[str, str]:
    """Return the attributes of an object in a bucket that browsers save under this name."""
    return {"Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}"}


def link_files(folder: Path, files: Mapping[str, Path]) -> bool:
    """Make the hard links of a folder: one for each of these names, and none of an earlier call.

    An author's files are kept: those without a video's number, and those whose content has no other name.

    Args:
        folder: Created if it is missing.
        files: The file that each name in the folder refers to.

    Returns:
        Whether the file system has hard links. If it has none, nothing is changed.
    """
    if not files and not folder.exists():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    for path in list(folder.iterdir()):  # first, because a new name may differ only in case
        if path.name not in files and _NUMBERED.fullmatch(path.name) and _is_second_name(path):
            path.unlink()
    for name, target in files.items():
        try:
            _link(folder / name, target)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                return False
            raise
    return True


def _link(path: Path, target: Path) -> None:
    if not target.exists() or (path.exists() and (path.samefile(target) or not _is_second_name(path))):
        return
    staged = path.with_name(f"{secrets.token_hex(8)}#0")  # if this process is killed, a later run sweeps it
    os.link(target, staged)
    staged.replace(path)


def _is_second_name(path: Path) -> bool:
    """Return whether a file has another name, so that removing this one loses nothing."""
    return path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1
