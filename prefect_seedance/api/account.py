"""One account's request budget, shared by everything in the process."""

import asyncio
import threading

REQUESTS_PER_MINUTE = 10_000
GENERATIONS_IN_FLIGHT = 1_000
"""The account's limits. Source: the project's specification."""

_LONGEST_PAUSE_SECONDS = 60.0
_LONGEST_ASKED_SECONDS = 900.0
"""However long the API asks for, we find out after so long whether it meant it."""

_SLOWEST_INTERVAL_SECONDS = 2.0
"""However often the API says 429, one request every two seconds keeps finding out whether it is over."""


class Limiter:
    """Paces requests evenly, and slows everyone down when the API says that it is too much.

    Pacing evenly, without bursts, keeps within the limit whichever minute the API counts. After a
    429 nothing leaves until the pause is over; then the pace is halved, and every request that
    goes well wins back a fiftieth of it.

    Event loops in different threads may share one: their clocks are the same monotonic clock.
    """

    def __init__(self, requests_per_minute: float = REQUESTS_PER_MINUTE) -> None:
        self.requests_per_minute = requests_per_minute
        self._least_interval = 60 / requests_per_minute
        self._interval = self._least_interval
        self._next_turn = 0.0
        self._closed_until = 0.0
        self._refusals = 0
        self._lock = threading.Lock()

    async def turn(self) -> None:
        """Wait until one request may be sent."""
        clock = asyncio.get_running_loop().time
        turn = self._reserve(clock())
        while (delay := turn - clock()) > 0:
            await asyncio.sleep(delay)
            if clock() < self._closed_until:  # closed meanwhile: queue again, so that no crowd bursts out
                turn = self._reserve(clock())

    async def opened(self) -> None:
        """Wait until no pause is in force, without taking a turn."""
        clock = asyncio.get_running_loop().time
        while (delay := self._closed_until - clock()) > 0:  # noqa: ASYNC110 -- time opens it, not an event
            await asyncio.sleep(delay)

    def refused(self, retry_after_seconds: float | None) -> None:
        """Pause everyone after a 429, as long as the API asked, or longer each time if it did not say."""
        now = asyncio.get_running_loop().time()
        asked = min(retry_after_seconds or 0, _LONGEST_ASKED_SECONDS)
        with self._lock:
            if now < self._closed_until:  # sent before the pause began: the same refusal, not another
                self._closed_until = max(self._closed_until, now + asked)
                return
            pause = min(2.0**self._refusals, _LONGEST_PAUSE_SECONDS)
            self._closed_until = now + (asked or pause)
            self._refusals += 1
            self._interval = max(self._least_interval, min(self._interval * 2, _SLOWEST_INTERVAL_SECONDS))

    def went_well(self) -> None:
        """Win back some of the pace."""
        with self._lock:
            self._refusals = 0
            self._interval = max(self._least_interval, self._interval * 0.98)

    def _reserve(self, now: float) -> float:
        """Take the next free moment, which may be now, and return it."""
        with self._lock:
            turn = max(now, self._next_turn, self._closed_until)
            self._next_turn = turn + self._interval
            return turn
