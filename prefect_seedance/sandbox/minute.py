"""A count of events within the last minute."""

from collections import deque

from prefect_seedance.sandbox.clock import now

_SECONDS = 60.0


class SlidingMinute:
    """Count events in a sliding window of sixty seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.worst = 0

    def add(self) -> None:
        """Count one event now."""
        self._times.append(now())
        self.worst = max(self.worst, self.count())

    def count(self) -> int:
        """Return the number of events in the last sixty seconds."""
        oldest = now() - _SECONDS
        while self._times and self._times[0] <= oldest:
            self._times.popleft()
        return len(self._times)
