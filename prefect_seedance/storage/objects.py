"""Read objects that an author names, in any store."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prefect_seedance.errors import ArchiveError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.names import same_letters, suggestion
from prefect_seedance.storage.store import Store

Opener = Callable[[str], Awaitable[Store]]
"""Opens the store at the root of a location."""


@dataclass(frozen=True)
class Objects:
    """The objects of all stores; each store is opened once."""

    opener: Opener
    _opened: dict[str, Store] = field(default_factory=dict)

    async def size_bytes(self, location: Location) -> int | None:
        """Return an object's size, or None if there is no such object.

        Raises:
            StoryboardError: The store refuses access.
            SetupError: The store cannot be opened.
        """
        store = await self._store(location)
        with _translated_errors():
            return await store.size_bytes(location.key) if location.key else None

    async def read(self, location: Location) -> bytes:
        """Return an object's content.

        Raises:
            StoryboardError: There is no such object, or the store refuses access.
            SetupError: The store cannot be opened.
        """
        store = await self._store(location)
        with _translated_errors():
            content = await store.read(location.key)
            same = (
                None
                if content is not None
                else same_letters(location.name, await store.names(location.folder.key))
            )
            if same:
                content = await store.read(location.folder.child(same).key)
        if content is None:
            raise await self.missing(location)
        return content

    async def missing(self, location: Location) -> StoryboardError:
        """Return the error of a missing object, with the most similar name in its folder."""
        similar = suggestion(location.name, await self.names(location.folder))
        return StoryboardError(f"there is no {location}{similar}")

    async def names(self, location: Location) -> tuple[str, ...]:
        """Return the names of the objects directly in a folder; none if there is no such folder.

        Raises:
            StoryboardError: The store refuses access.
            SetupError: The store cannot be opened.
        """
        store = await self._store(location)
        with _translated_errors():
            return await store.names(location.key)

    async def tree(self, location: Location) -> tuple[str, ...]:
        """Return the keys of all objects below a folder, relative to the folder.

        Raises:
            StoryboardError: The store refuses access.
            SetupError: The store cannot be opened.
        """
        store, prefix = await self._store(location), f"{location.key}/" if location.key else ""
        with _translated_errors():
            return tuple(key.removeprefix(prefix) for key in await store.keys(prefix))

    async def _store(self, location: Location) -> Store:
        if location.root not in self._opened:
            self._opened[location.root] = await self.opener(location.root)
        return self._opened[location.root]


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate a store's errors for the author of a storyboard."""
    try:
        yield
    except ArchiveError as error:
        raise StoryboardError(
            f"{error}. Check the name, and that the credentials permit reading and listing"
        ) from error
