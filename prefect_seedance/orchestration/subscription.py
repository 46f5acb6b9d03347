"""Hear from Prefect that generations have ended: one subscription for all that a process waits for."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import get_current_settings

from prefect_seedance.orchestration.events import GENERATION, GENERATION_ENDED

_log = logging.getLogger(__name__)

_SUBSCRIBE_AGAIN_SECONDS = 10.0
"""What is not heard meanwhile is told again, for a new subscription begins a minute back."""


class Subscription:
    """Passes on the ids of generations that have ended. Use as an async context manager.

    Nothing depends on what is heard: without a server, or while it fails, whoever waits looks into the
    ledger now and then.

    Args:
        heard: Is told of each id.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def begin(self) -> None:
        """Subscribe, if that has not been done, to the Prefect server that is configured, if one is."""
        if self._listening is None and get_current_settings().api.url:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Listen until cancelled."""
        while True:  # as long as there is somebody to tell
            try:
                await self._pass_on()
            except Exception as error:  # noqa: BLE001 -- Prefect raises all kinds, and nothing depends on it
                _log.debug("Prefect's events cannot be heard: %s", error)
            await asyncio.sleep(_SUBSCRIBE_AGAIN_SECONDS)

    async def _pass_on(self) -> None:
        ended = EventFilter(event=EventNameFilter(name=[GENERATION_ENDED]))
        async with get_events_subscriber(ended, reconnect_on_clean_close=True) as events:
            async for event in events:
                self._heard(event.resource.id.removeprefix(GENERATION))
