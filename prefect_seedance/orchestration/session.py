"""What all tasks of one event loop share: one client, one waiter, one archive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self
from weakref import WeakKeyDictionary

from prefect_seedance.api.client import REQUEST_TIMEOUT_SECONDS, SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.clips.archive import Archivist
from prefect_seedance.clips.image_hosting import LIFETIME_SECONDS, ImageHost
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Poller, Polling
from prefect_seedance.clips.submit import RetryPolicy
from prefect_seedance.film.seams import Inspector
from prefect_seedance.orchestration import reporting
from prefect_seedance.orchestration.blocks import ClipArchive, SeedanceCredentials, open_archive
from prefect_seedance.orchestration.subscription import Subscription
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store

_IMAGES_AT_ONCE = 4
"""Of up to 100 MB each, though hardly any is; how many of them are being made anew, `images` bounds."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Who pays for clips, where they go and how: a value that tasks can be given.

    Attributes:
        archive: A folder's path or a URL, a block, or the name of a stored one after ``block:``; if it is
            empty, what ``SEEDANCE_ARCHIVE`` says.
        images_url: Where the archive's images folder can be fetched, if it cannot sign URLs.
        images_lifetime_seconds: How long the URLs of images are good, if it can.
        production: For whom the clips are made, so that people who read the ledger know.
        timeout_seconds: Bound of one request.
        callback_url: The public address of a receiver, which the API shall tell what has ended.
        wait: Whether to wait for generations in flight.
        continued_by: What to run again once they have ended, if nobody waits; as in `Intent`.
    """

    credentials: SeedanceCredentials
    archive: ClipArchive | str = ""
    production: str = ""
    images_url: str = ""
    images_lifetime_seconds: float = LIFETIME_SECONDS
    policy: RetryPolicy = RetryPolicy()
    pace: Polling = Polling()
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    callback_url: str = ""
    wait: bool = True
    continued_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Session:
    """Everything that is open while clips are made.

    Attributes:
        slots: One for each generation that the account may have in flight.
        hosting: One for each image that may be in memory, on its way to the archive.
        objects: Where images are that lie in a store themselves.
        turns: By image, whose turn it is to put it into the archive.
    """

    client: SeedanceClient
    waiter: Poller
    subscription: Subscription
    store: Store
    ledger: Ledger
    archivist: Archivist
    inspector: Inspector
    slots: asyncio.Semaphore
    hosting: asyncio.Semaphore
    objects: Objects
    turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    @classmethod
    async def open(cls, order: RunSettings, stack: AsyncExitStack) -> Self:
        """Open what an order needs, for as long as the stack."""
        store = await open_archive(order.archive)
        client = await stack.enter_async_context(
            order.credentials.get_client(timeout_seconds=order.timeout_seconds)
        )
        downloader = await stack.enter_async_context(Downloader())
        waiter = await stack.enter_async_context(Poller(client, pace=order.pace))
        waiter.watchers.add(reporting.generation_changed)
        subscription = await stack.enter_async_context(Subscription(waiter.wake))
        return cls(
            client=client,
            waiter=waiter,
            subscription=subscription,
            store=store,
            ledger=Ledger(store),
            archivist=Archivist(store=store, client=client, downloader=downloader),
            inspector=Inspector(store=store),
            slots=asyncio.Semaphore(order.credentials.generations_in_flight),
            hosting=asyncio.Semaphore(_IMAGES_AT_ONCE),
            objects=Objects(open_archive),
        )

    def host(self, order: RunSettings) -> ImageHost:
        """Return who puts an order's images where the API can fetch them."""
        return ImageHost(
            store=self.store,
            objects=self.objects,
            turns=self.turns,
            images_url=order.images_url,
            lifetime_seconds=order.images_lifetime_seconds,
        )


@dataclass
class _Shared:
    """A session with its users; the last one to leave closes it."""

    users: int = 0
    session: Session | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared(order: RunSettings) -> AsyncIterator[Session]:
    """Share one session among all that run for the same account and archive in this event loop.

    Whoever comes first opens it. Hold it open around many tasks, so that they need not each open one.
    """
    sessions = _SHARED.setdefault(asyncio.get_running_loop(), {})
    key = _key(order)
    mine = sessions.setdefault(key, _Shared())
    mine.users += 1
    try:
        async with mine.opening:
            if mine.session is None:
                mine.session = await Session.open(order, mine.stack)
        yield mine.session
    finally:
        mine.users -= 1
        if not mine.users:
            sessions.pop(key, None)
            await mine.stack.aclose()


def _key(order: RunSettings) -> object:
    credentials, archive = order.credentials, order.archive
    return (
        credentials.base_url,
        credentials.api_key.get_secret_value(),
        credentials.model,
        archive if isinstance(archive, str) else archive.model_dump_json(),
        order.pace,
        order.timeout_seconds,
    )
