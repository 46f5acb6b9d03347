"""Keep an even distance between one account's requests."""

import asyncio
import math
import threading
from collections.abc import Callable

_LOOK_AGAIN_SECONDS = 1.0
"""How soon to notice that the ceiling has risen."""


class Pace:
    """Keeps requests within limits per minute, without bursts, however the API counts minutes.

    Senders may have different limits. Each keeps its own, and all together keep the highest one. Event loops
    in different threads may share a pace: they use the same monotonic clock.

    Args:
        ceiling: Returns the limit of all senders together, which may change.
    """

    def __init__(self, *, ceiling: Callable[[], float] = lambda: math.inf) -> None:
        self._ceiling = ceiling
        self._highest = 0.0
        self._last = -math.inf
        self._last_by_limit: dict[float, float] = {}
        self._lock = threading.Lock()

    def interval_seconds(self, requests_per_minute: float) -> float:
        """Return the time between two requests of a sender with this limit, if all others are idle."""
        return 60 / min(requests_per_minute, self._ceiling())

    async def wait(self, requests_per_minute: float) -> None:
        """Wait until a sender with this limit may send one request."""
        clock, is_mine = asyncio.get_running_loop().time, False
        while not is_mine:
            moment, is_mine = self._reserve(requests_per_minute, clock())
            while (delay := moment - clock()) > 0:  # noqa: ASYNC110 -- the end is a time, not an event
                await asyncio.sleep(delay)

    def _reserve(self, limit: float, now: float) -> tuple[float, bool]:
        """Return the next free time and True; or, for a slow sender, the time to ask again and False.

        A slow sender reserves nothing in advance, because a fast one would have to wait behind it. Below the
        ceiling of all senders none does, because the ceiling may rise.
        """
        with self._lock:
            if limit > self._highest:
                self._highest, self._last = limit, min(self._last, now)
            mine = self._last_by_limit.get(limit, -math.inf) + 60 / limit
            if limit < self._highest and mine > now:
                return mine, False
            together = self._last + self.interval_seconds(self._highest)
            if together > now and self._ceiling() < self._highest:
                return min(together, now + _LOOK_AGAIN_SECONDS), False
            moment = max(now, mine, together)
            self._last_by_limit[limit] = self._last = moment
            return moment, True
