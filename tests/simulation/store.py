"""A scripted store in memory, which several processes share."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import BinaryIO, TypeVar

from prefect_seedance.errors import ArchiveError
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.store import Store
from tests.simulation.clock import Process, World

_T = TypeVar("_T")

_SECONDS = 0.02
"""Time that one operation takes."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one operation.

    Attributes:
        seconds: How much longer it takes.
        fails: Whether it fails: ``before`` its effect, or ``after`` it.
    """

    seconds: float = 0.0
    fails: str = ""


@dataclass
class Bucket:
    """The objects of an archive, by key.

    Attributes:
        created: The true time at which each object was created.
        lag_seconds: How old an object is before lists show it.
        trouble: Called for each operation with its name and key; returns what goes wrong.
        operations: Number of operations so far.
    """

    world: World
    objects: dict[str, bytes] = field(default_factory=dict)
    created: dict[str, float] = field(default_factory=dict)
    lag_seconds: float = 0.0
    trouble: Callable[[str, str], Trouble | None] = lambda *_: None
    operations: int = 0

    def write(self, key: str, content: bytes) -> None:
        self.created.setdefault(key, self.world.now)
        self.objects[key] = content

    def create(self, key: str, content: bytes) -> bool:
        """Create an object; a bucket recognises an object of its own by the content."""
        if key in self.objects:
            return self.objects[key] == content
        self.write(key, content)
        return True

    @property
    def outcomes(self) -> list[str]:
        """The keys of all records of how an attempt ended."""
        return [key for key in self.objects if key.endswith("outcome.json")]

    def keys(self, prefix: str) -> tuple[str, ...]:
        latest = self.world.now - self.lag_seconds
        found = (key for key in self.objects if key.startswith(prefix))
        return tuple(sorted(key for key in found if self.created[key] <= latest))


class ScriptedStore(Store):
    """A process's access to the bucket."""

    def __init__(self, bucket: Bucket, process: Process) -> None:
        super().__init__(Backend.open("memory://simulation"), name="s3://simulated")
        self._bucket = bucket
        self._process = process

    async def probe(self) -> None:
        pass

    async def create(self, key: str, content: bytes) -> bool:
        return await self._do("create", key, lambda: self._bucket.create(key, content))

    async def put(
        self,
        key: str,
        content: bytes | BinaryIO,
        *,
        media_type: str | None = None,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        del media_type, metadata
        if not isinstance(content, bytes):
            content.seek(0)
            content = content.read()
        whole = content
        await self._do("put", key, lambda: self._bucket.write(key, whole))

    async def copy(self, source: str, key: str) -> None:
        await self._do("put", key, lambda: self._bucket.write(key, self._bucket.objects[source]))

    async def read(self, key: str) -> bytes | None:
        return await self._do("read", key, lambda: self._bucket.objects.get(key))

    async def fetch(self, key: str, file: BinaryIO) -> str | None:
        content = await self.read(key)
        if content is None:
            return None
        file.seek(0)
        file.truncate()
        file.write(content)
        return hashlib.sha256(content).hexdigest()

    async def size_bytes(self, key: str) -> int | None:
        content = await self.read(key)
        return None if content is None else len(content)

    async def keys(self, prefix: str) -> tuple[str, ...]:
        return await self._do("list", prefix, lambda: self._bucket.keys(prefix))

    async def names(self, folder: str) -> tuple[str, ...]:
        prefix = f"{folder}/" if folder else ""
        names = [key.removeprefix(prefix) for key in await self.keys(prefix)]
        return tuple(name for name in names if "/" not in name)

    async def sign(self, key: str, *, lifetime: timedelta) -> str | None:
        del lifetime
        return f"https://bucket.example/{key}"

    async def sweep(self, prefixes: Iterable[str]) -> None:
        pass

    async def _do(self, operation: str, key: str, effect: Callable[[], _T]) -> _T:
        self._bucket.operations += 1
        trouble = self._bucket.trouble(operation, key) or Trouble()

        def act() -> _T:
            if trouble.fails == "before":
                raise ArchiveError(f"Could not {operation} {key}: the disk is full")
            result = effect()
            if trouble.fails == "after":
                raise ArchiveError(f"Could not {operation} {key}: the connection broke")
            return result

        return await self._process.exchange(act, arrives=_SECONDS / 2 + trouble.seconds, answers=_SECONDS / 2)
