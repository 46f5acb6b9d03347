"""Where one object lies: in a bucket, or in an archive that Prefect knows by name."""

import posixpath
from typing import Final, NamedTuple, Self

from prefect_seedance.errors import StoryboardError

BLOCK_PREFIX: Final = "block:"
"""Begins the name of an archive that Prefect knows; a folder of such a name is ``./block:…``."""

_BUCKETS: Final = ("s3://", "gs://", "az://", "memory://")


class Location(NamedTuple):
    """An object, or a folder of objects.

    Attributes:
        place: What to open: a bucket's URL, or an archive's name.
        key: Where it is in there; empty for all of the place.
    """

    place: str
    key: str

    def __str__(self) -> str:
        return f"{self.place}/{self.key}" if self.key else self.place

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``s3://BUCKET/KEY`` and the like, or ``block:NAME/KEY``; None if it is neither."""
        prefix = next((known for known in (*_BUCKETS, BLOCK_PREFIX) if text.startswith(known)), None)
        if prefix is None:
            return None
        name, _, key = text.removeprefix(prefix).partition("/")
        return cls(f"{prefix}{name}", key.rstrip("/"))

    @property
    def name(self) -> str:
        """The last part of it."""
        return posixpath.basename(self.key) or self.place

    @property
    def folder(self) -> Self:
        """The folder that it lies in."""
        return self._replace(key=posixpath.dirname(self.key))

    def find(self, name: str, *, allow_outside: bool) -> Self:
        """Find the object that is meant by a name in this folder.

        Args:
            name: Relative to the folder, or from the top of the place if it begins with a slash.
            allow_outside: Whether a name from the top may lead out of the folder.

        Raises:
            StoryboardError: The name leads out of the folder.
        """
        path = posixpath.normpath(posixpath.join(f"/{self.key}", name)).lstrip("/")
        is_free = allow_outside and name.startswith("/")
        climbs = posixpath.normpath(name).split("/")[0] == ".."  # from the top, there is nothing to climb to
        if climbs or not (is_free or path.startswith(f"{self.key}/" if self.key else "")):
            raise StoryboardError(
                f"{name!r} leads out of the storyboard's folder {self}; move the image there, "
                "or write its whole key, after a slash, and allow images outside"
            )
        return self._replace(key=path)
