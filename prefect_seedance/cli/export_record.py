"""Remember which files of a folder an export has written, so that it replaces and removes no others."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE: Final = ".prefect-seedance.json"
"""The record's name, in the folder itself, so that it moves with the files."""


class ExportRecord:
    """The files that exports of one production have written into a folder, with their last two digests.

    A file that has changed since then is the author's. The digest before the last one counts, too, because an
    export may be killed between its note and the new file.

    Args:
        folder: Of the exports.
        source: The archive and the production.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._all = _read(folder / FILE)
        self.digests = dict(self._all.get(source, {}))

    def owns(self, name: str) -> bool:
        """Return whether a file is still as an export has written it."""
        return name in self.digests and sha256_of(self._folder / name) in self.digests[name]

    def note(self, name: str, sha256: str | None) -> None:
        """Record a file before it is written, or after it is removed."""
        if sha256 is None:
            self.digests.pop(name, None)
        else:
            self.digests[name] = [*self.digests.get(name, [])[-1:], sha256]
        content = json.dumps({**self._all, self._source: self.digests}, indent=2, ensure_ascii=False)
        staged = self._folder / f"{FILE}.part"
        staged.write_text(content, encoding="utf-8")
        staged.replace(self._folder / FILE)


def sha256_of(path: Path) -> str | None:
    """Return the digest of a file; None if there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Mapping[str, Mapping[str, list[str]]]:
    """Read the record; if it is missing or damaged, no file counts as written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {source: files for source, files in entries if isinstance(files, dict)}
