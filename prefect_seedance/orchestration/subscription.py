"""Receive Prefect's events about ended generations, over one subscription per process."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import get_current_settings

from prefect_seedance.orchestration.events import GENERATION, Event
from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

_RECONNECT_SECONDS = 10.0
"""A new subscription starts with the stored events of the last minute, so it misses hardly any."""


class Subscription:
    """Reports the ids of generations that have ended. Use as an async context manager.

    It only shortens waits: without a server, or if an event is lost, the poller reads the ledger instead.

    Args:
        on_ended: Called with each id.
    """

    def __init__(self, on_ended: Callable[[str], None]) -> None:
        self._on_ended = on_ended
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def start(self) -> None:
        """Subscribe once, if Prefect is configured to use a server."""
        if self._listening is None and get_current_settings().api.url:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Receive events until cancelled."""
        while True:  # until the session closes
            try:
                await self._receive()
            except Exception as error:  # noqa: BLE001 -- Prefect raises all kinds, and waits do not depend on it
                _log.debug("The subscription to Prefect's events failed: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _receive(self) -> None:
        ended = EventFilter(event=EventNameFilter(name=[Event.generation_ended]))
        async with get_events_subscriber(ended, reconnect_on_clean_close=True) as events:
            async for event in events:
                self._on_ended(event.resource.id.removeprefix(GENERATION))
