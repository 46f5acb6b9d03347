"""Parse ``s3://BUCKET/KEY`` and ``block:NAME/KEY``."""

import posixpath
from pathlib import Path
from typing import Final, NamedTuple, Self

from prefect_seedance.doors import option
from prefect_seedance.errors import StoryboardError

BLOCK_PREFIX: Final = "block:"
"""Starts the name of an archive that is stored in Prefect. A folder with such a name is ``./block:…``."""

_BUCKETS: Final = ("s3://", "gs://", "az://", "memory://")


class Location(NamedTuple):
    """The location of an object, or of a folder of objects.

    Attributes:
        root: The bucket's URL, or ``block:`` with the archive's name.
        key: The key in the bucket; empty for the whole bucket.
    """

    root: str
    key: str

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a location, or return None if the text is a path or another URL."""
        prefix = next((known for known in (*_BUCKETS, BLOCK_PREFIX) if text.startswith(known)), None)
        if prefix is None:
            return None
        name, _, key = text.removeprefix(prefix).partition("/")
        return cls(f"{prefix}{name}", key.rstrip("/"))

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key) or self.root

    @property
    def folder(self) -> Self:
        """The folder that contains the object."""
        return self._replace(key=posixpath.dirname(self.key))

    def child(self, name: str) -> Self:
        """Return the object of this name in the folder."""
        return self._replace(key=posixpath.join(self.key, name))

    def find(self, name: str, *, allow_outside: bool) -> Self:
        """Resolve an object's name in this folder.

        Args:
            name: Relative to this folder, or to the root if it starts with a slash.
            allow_outside: Whether a name that starts with a slash may lead out of the folder.

        Raises:
            StoryboardError: The name leads out of the folder.
        """
        path = posixpath.normpath(posixpath.join(f"/{self.key}", name)).lstrip("/")
        may_leave = allow_outside and name.startswith("/")
        climbs = posixpath.normpath(name).split("/")[0] == ".."  # the joined path hides this at the root
        if climbs or not (may_leave or path.startswith(f"{self.key}/" if self.key else "")):
            raise StoryboardError(
                f"{name!r} leads out of the storyboard's folder {self}; move the image there, "
                f"or give its whole key after a slash, with {option('allow_outside', value=True)}"
            )
        return self._replace(key=path)


def is_path(source: str) -> bool:
    """Return whether an archive or a storyboard is named by a path, not by a URL or a block."""
    return bool(source) and "://" not in source and Location.parse(source) is None


def absolute(archive: str, *, directory: Path) -> str:
    """Return an archive's name, independent of the directory in which a process starts.

    Args:
        archive: A path, which may be relative, or any other name, which stays.
        directory: To which the path is relative.
    """
    return str(directory / Path(archive).expanduser()) if is_path(archive) else archive
