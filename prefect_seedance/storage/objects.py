"""Objects by their address, in whatever store."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches

from prefect_seedance.errors import ArchiveError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.store import Store

Opener = Callable[[str], Awaitable[Store]]
"""Opens a store by a bucket's URL, or by the name under which Prefect knows an archive."""


@dataclass(frozen=True)
class Objects:
    """What an author may name in stores, each of which is opened once."""

    opener: Opener
    _opened: dict[str, Store] = field(default_factory=dict)

    async def size_bytes(self, address: Location) -> int | None:
        """Return an object's size, or None if there is none.

        Raises:
            StoryboardError: It may not be looked at.
            SetupError: There is no such place.
        """
        store = await self._store(address)
        with _translated_errors():
            return await store.size_bytes(address.key) if address.key else None

    async def read(self, address: Location) -> bytes:
        """Return an object's content.

        Raises:
            StoryboardError: There is none, or it may not be read.
            SetupError: There is no such place.
        """
        store = await self._store(address)
        with _translated_errors():
            content = await store.read(address.key)
        if content is None:
            raise await self.missing(address)
        return content

    async def missing(self, address: Location) -> StoryboardError:
        """Return an error that names the object beside it that was probably meant."""
        close = get_close_matches(address.name, await self.names(address.folder), n=1)
        return StoryboardError(f"there is no {address}{f'; did you mean {close[0]!r}?' if close else ''}")

    async def names(self, address: Location) -> tuple[str, ...]:
        """Return the names of the objects that lie directly in a folder, or none if it is no folder.

        Raises:
            StoryboardError: It may not be looked into.
            SetupError: There is no such place.
        """
        store = await self._store(address)
        with _translated_errors():
            return await store.names(address.key)

    async def _store(self, address: Location) -> Store:
        if address.place not in self._opened:
            self._opened[address.place] = await self.opener(address.place)
        return self._opened[address.place]


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Say what an author can do about what a store refuses."""
    try:
        yield
    except ArchiveError as error:
        raise StoryboardError(
            f"{error}. Check the name, and that these credentials may read and list there"
        ) from error
