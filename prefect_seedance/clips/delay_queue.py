"""A queue whose items become available at a time of their own."""

import asyncio
import heapq
import itertools
import math
from typing import Generic, TypeVar

_T = TypeVar("_T")


class DelayQueue(Generic[_T]):
    """Hands each item to one consumer once it is due. For use in one event loop.

    Only a heap grows with the number of items. Times are by the event loop's clock.
    """

    def __init__(self) -> None:
        self._dues: dict[_T, float] = {}
        self._entries: list[tuple[float, int, _T]] = []
        self._order = itertools.count()
        self._something_earlier = asyncio.Event()
        self._turn = asyncio.Lock()

    def put(self, item: _T, due: float) -> None:
        """Schedule an item, unless it is scheduled for an earlier time."""
        if due < self._dues.get(item, math.inf):
            self._dues[item] = due
            heapq.heappush(self._entries, (due, next(self._order), item))
            if self._entries[0][2] is item:
                self._something_earlier.set()

    def drop(self, item: _T) -> None:
        """Remove an item."""
        self._dues.pop(item, None)

    async def next(self) -> _T:
        """Wait until an item is due, remove it, and return it."""
        async with self._turn:
            while True:
                due, _, item = await self._earliest()
                if self._dues.get(item) == due:  # otherwise it was rescheduled or dropped
                    del self._dues[item]
                    return item

    async def _earliest(self) -> tuple[float, int, _T]:
        clock = asyncio.get_running_loop().time
        while not self._entries or self._entries[0][0] > clock():
            self._something_earlier.clear()
            due = self._entries[0][0] if self._entries else None
            try:
                async with asyncio.timeout_at(due):
                    await self._something_earlier.wait()
            except TimeoutError:
                pass
        return heapq.heappop(self._entries)
