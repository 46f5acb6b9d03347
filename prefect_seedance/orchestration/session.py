"""Share one session among all tasks of an event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.account_share import shared_account
from prefect_seedance.orchestration.blocks import ClipArchive, open_archive
from prefect_seedance.orchestration.subscription import Subscription
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class SharedSession:
    """A session, and the subscription that wakes its poller."""

    session: Session
    subscription: Subscription

    @classmethod
    async def open(cls, settings: RunSettings, stack: AsyncExitStack) -> "SharedSession":
        """Open a session for as long as the stack is open."""
        session = await stack.enter_async_context(Session.open(settings, open_archive=open_archive))
        await stack.enter_async_context(shared_account(settings.credentials, session.client.account.slots))
        session.poller.listeners.add(events.generation_changed)
        session.client.account.throttling.listeners.add(events.account_throttled)
        subscription = await stack.enter_async_context(Subscription(session.poller.wake))
        return cls(session=session, subscription=subscription)


@dataclass
class _Slot:
    """A shared session with its number of users; the last user closes it."""

    users: int = 0
    shared: SharedSession | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


_SLOTS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, _Slot]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_session(settings: RunSettings) -> AsyncIterator[SharedSession]:
    """Share a session among all tasks of this event loop with the same account and archive.

    The first user opens it. Keep it open around many tasks, so that they do not each open one.
    """
    slots = _SLOTS.setdefault(asyncio.get_running_loop(), {})
    key = _key(settings)
    slot = slots.setdefault(key, _Slot())
    slot.users += 1
    try:
        async with slot.opening:
            if slot.shared is None:
                slot.shared = await SharedSession.open(settings, slot.stack)
        yield slot.shared
    finally:
        slot.users -= 1
        if not slot.users:
            slots.pop(key, None)
            await slot.stack.aclose()


def _key(settings: RunSettings) -> object:
    credentials, archive, waiting = settings.credentials, settings.archive, settings.waiting
    return (
        credentials.base_url,
        credentials.api_key.get_secret_value(),
        credentials.model,
        credentials.requests_per_minute,
        credentials.host_policy,
        archive.model_dump_json() if isinstance(archive, ClipArchive) else archive,
        waiting.model_copy(update={"deadline_seconds": 0.0, "callback_url": "", "wait": True}),
    )
