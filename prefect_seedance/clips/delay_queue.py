"""Whose turn it is: many things that each come due at a time of their own."""

import asyncio
import heapq
import itertools
import math
from typing import Generic, TypeVar

_T = TypeVar("_T")


class DelayQueue(Generic[_T]):
    """Hands out what is due, to as many as ask, each time to one of them. For use in one event loop.

    Nothing but a heap grows with what waits in it. Times are by the event loop's clock.
    """

    def __init__(self) -> None:
        self._dues: dict[_T, float] = {}
        self._entries: list[tuple[float, int, _T]] = []
        self._order = itertools.count()
        self._something_earlier = asyncio.Event()
        self._turn = asyncio.Lock()

    def put(self, item: _T, due: float) -> None:
        """Have an item come due at a time, unless it does so earlier already."""
        if due < self._dues.get(item, math.inf):
            self._dues[item] = due
            heapq.heappush(self._entries, (due, next(self._order), item))
            if self._entries[0][2] is item:
                self._something_earlier.set()

    def drop(self, item: _T) -> None:
        """Take an item off, so that it never comes due."""
        self._dues.pop(item, None)

    async def next(self) -> _T:
        """Wait until something is due, take it off, and return it."""
        async with self._turn:
            while True:
                due, _, item = await self._earliest()
                if self._dues.get(item) == due:  # else it was put earlier meanwhile, or dropped
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
