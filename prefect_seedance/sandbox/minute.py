"""A count of what happened within the last minute."""

from collections import deque

from prefect_seedance.sandbox.clock import now

_SECONDS = 60.0


class SlidingMinute:
    """Counts events in a window of sixty seconds that moves along."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()
        self.worst = 0

    def add(self) -> None:
        """Count one event now."""
        self._moments.append(now())
        self.worst = max(self.worst, self.count())

    def count(self) -> int:
        """Return how many events the last sixty seconds saw."""
        oldest = now() - _SECONDS
        while self._moments and self._moments[0] <= oldest:
            self._moments.popleft()
        return len(self._moments)
