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
        if not location.key:
            return None
        with _translated_errors():
            size_bytes = await store.size_bytes(location.key)
            if size_bytes is None and (same := await _same_key(store, location)):
                size_bytes = await store.size_bytes(same)
        return size_bytes

    async def read(self, location: Location) -> bytes:
        """Return an object's content.

        Raises:
            StoryboardError: There is no such object, or the store refuses access.
            SetupError: The store cannot be opened.
        """
        store = await self._store(location)
        with _translated_errors():
            content = await store.read(location.key)
            if content is None and (same := await _same_key(store, location)):
                content = await store.read(same)
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


async def _same_key(store: Store, location: Location) -> str | None:
    """Return the key of the object whose name has the same letters in another encoding, if there is one."""
    same = same_letters(location.name, await store.names(location.folder.key))
    return location.folder.child(same).key if same else None


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate a store's errors for the author of a storyboard."""
    try:
        yield
    except ArchiveError as error:
        raise StoryboardError(
            f"{error}. Check the name, and that the credentials permit reading and listing"
        ) from error
