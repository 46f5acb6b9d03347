"""Archive a few clips at a time, those first whose links expire first."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from prefect_seedance.clips.archive import CONCURRENT_DOWNLOADS

NEVER = datetime.max.replace(tzinfo=UTC)
"""The expiry of a clip without a link, which comes last."""


class OldestFirst:
    """The turns of clips, also of several archives: as many at a time as one archive downloads.

    Args:
        is_open: Whether turns begin at once; otherwise they begin when all clips are known.
    """

    def __init__(self, *, is_open: bool = True) -> None:
        self._is_open = is_open
        self._free = CONCURRENT_DOWNLOADS
        self._numbers = itertools.count()
        self._waiting: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def open(self) -> None:
        """Begin the turns."""
        self._is_open = True
        self._serve()

    @asynccontextmanager
    async def turn(self, expires_at: datetime | None) -> AsyncIterator[None]:
        """Wait for the turn of a clip, and archive it inside.

        Args:
            expires_at: When its link expires; a clip without a link comes last.
        """
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (expires_at or NEVER, next(self._numbers), mine))
        self._serve()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                self._free += 1
                self._serve()
            else:
                mine.cancel()

    def _serve(self) -> None:
        while self._is_open and self._free and self._waiting:
            *_, waiting = heapq.heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(None)
                self._free -= 1
