"""One account's request limit, shared by everything in the process."""

import asyncio
import threading

REQUESTS_PER_MINUTE = 10_000
GENERATIONS_IN_FLIGHT = 1_000
"""The account's limits. Source: the project's specification."""

_MAX_PAUSE_SECONDS = 60.0
_MAX_RETRY_AFTER_SECONDS = 900.0
"""If the API requests a longer pause, one request after this time finds out whether it still refuses."""

_MAX_INTERVAL_SECONDS = 2.0
"""However often the API answers 429, a request every two seconds finds out whether it still refuses."""


class Limiter:
    """Paces requests evenly, and slows down all of them after a 429.

    An even pace without bursts keeps the limit in every minute, however the API counts minutes. After a
    429 no request is sent until the pause ends. Then the pace is halved, and each successful request
    wins back a fiftieth.

    Event loops in different threads may share a limiter: they use the same monotonic clock.
    """

    def __init__(self, requests_per_minute: float = REQUESTS_PER_MINUTE) -> None:
        self.requests_per_minute = requests_per_minute
        self._min_interval = 60 / requests_per_minute
        self._interval = self._min_interval
        self._next_slot = 0.0
        self._paused_until = 0.0
        self._refusals = 0
        self._lock = threading.Lock()

    async def acquire(self) -> None:
        """Wait until one request may be sent."""
        clock = asyncio.get_running_loop().time
        slot = self._reserve(clock())
        while (delay := slot - clock()) > 0:
            await asyncio.sleep(delay)
            if clock() < self._paused_until:  # queue again, so that the pause does not end in a burst
                slot = self._reserve(clock())

    async def wait_for_pause(self) -> None:
        """Wait until the current pause ends, if there is one, without reserving a slot."""
        clock = asyncio.get_running_loop().time
        while (delay := self._paused_until - clock()) > 0:  # noqa: ASYNC110 -- the end is a time, not an event
            await asyncio.sleep(delay)

    def pause(self, retry_after_seconds: float | None) -> None:
        """Pause all requests after a 429.

        Args:
            retry_after_seconds: Pause that the API requests. Without it, consecutive pauses get longer.
        """
        now = asyncio.get_running_loop().time()
        requested = min(retry_after_seconds or 0, _MAX_RETRY_AFTER_SECONDS)
        with self._lock:
            if now < self._paused_until:  # the request was sent before the pause, so it is no new refusal
                self._paused_until = max(self._paused_until, now + requested)
                return
            growing = min(2.0**self._refusals, _MAX_PAUSE_SECONDS)
            self._paused_until = now + (requested or growing)
            self._refusals += 1
            self._interval = max(self._min_interval, min(self._interval * 2, _MAX_INTERVAL_SECONDS))

    def speed_up(self) -> None:
        """Win back part of the pace after a successful request."""
        with self._lock:
            self._refusals = 0
            self._interval = max(self._min_interval, self._interval * 0.98)

    def _reserve(self, now: float) -> float:
        """Reserve the next free slot, and return its time."""
        with self._lock:
            slot = max(now, self._next_slot, self._paused_until)
            self._next_slot = slot + self._interval
            return slot
