"""The account's generations in flight, one slot for each."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from prefect_seedance.api.turns import Turns
from prefect_seedance.telemetry import IN_FLIGHT

REQUESTS_PER_SLOT = 10
"""Requests a minute for each slot of a share: an account has 10,000 requests a minute for 1,000 generations,
so processes that divide its slots divide its requests too."""

_ANSWER_SECONDS = 10.0
"""Bound of the question whether a slot is free, for runs that do not wait for one."""


class Block(NamedTuple):
    """Slots that this process may use for a limited time.

    Attributes:
        size: How many slots.
        ends_at: By the monotonic clock.
    """

    size: int
    ends_at: float


@dataclass
class Share:
    """The part of an account's slots that this process may use, if several processes divide them.

    Attributes:
        blocks: Slots with the time at which they end, by lease. Change them inside `Slots.changing`.
        most: Take no slot beyond this number, because other processes wait; None if none does.
        problem: Why the server that divides the account fails; empty if it answers.
        is_known: Whether it has answered.
        on_change: Called whenever slots are needed or returned. It must not block.
    """

    blocks: dict[Hashable, Block] = field(default_factory=dict)
    most: int | None = None
    problem: str = ""
    is_known: bool = False
    on_change: Callable[[], None] = lambda: None

    def size(self, now: float) -> int:
        """Return the number of slots that have not ended."""
        return sum(block.size for block in self.blocks.values() if now < block.ends_at)

    def limit(self, now: float) -> int:
        """Return how many generations may be in flight when a new one is submitted."""
        size = self.size(now)
        return size if self.most is None else min(size, self.most)


class Slots:
    """The generations in flight, limited by what each run believes the account's limit to be.

    Attributes:
        share: What this process may use of an account that processes divide; None if they do not.
    """

    def __init__(self) -> None:
        self.share: Share | None = None
        self._turns = Turns()
        self._taken: set[Slot] = set()
        self._waiting: dict[Slot, int] = {}

    async def acquire(self, *, limit: int, deadline: float) -> "Slot":
        """Wait until fewer slots than a limit are taken, and take one.

        Args:
            limit: Other runs may have another limit; a lower one does not block them.
            deadline: By the event loop's clock. If it is over, take a free slot or none.

        Raises:
            TimeoutError: If no slot was free before the deadline.
        """
        slot = Slot()

        def take(now: float) -> bool:
            if len(self._taken) >= min(limit, self.share.limit(now) if self.share else limit):
                return False
            self._add(slot)
            self._waiting.pop(slot, None)
            return True

        with self._turns.lock:
            self._waiting[slot] = limit
        self._report_change()
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.take(take, kind=limit)
        except BaseException:
            self.release(slot)
            raise
        return slot

    def take(self) -> "Slot":
        """Take a slot, even beyond the limit, for a generation that is in flight already."""
        slot = Slot()
        with self._turns.lock:
            self._add(slot)
        self._report_change()
        return slot

    def release(self, slot: "Slot") -> None:
        """Make room for another generation; a second call has no effect."""
        with self._turns.lock:
            self._waiting.pop(slot, None)
            if slot in self._taken:
                self._taken.remove(slot)
                IN_FLIGHT.record(-1)
            self._turns.serve()
        self._report_change()

    def _add(self, slot: "Slot") -> None:
        self._taken.add(slot)
        IN_FLIGHT.record(1)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the share inside; those who wait for a slot are served afterwards."""
        with self._turns.lock:
            yield
            self._turns.serve()

    @property
    def taken(self) -> int:
        """How many slots are taken, also beyond the limit."""
        return len(self._taken)

    @property
    def needed(self) -> int:
        """How many slots this process could use now."""
        with self._turns.lock:
            taken, limits = len(self._taken), self._waiting.values()
            return max(taken, min(taken + len(limits), max(limits, default=0)))

    @property
    def soon(self) -> float:
        """The time, by the event loop's clock, until which a free slot is found, which may need a server."""
        return asyncio.get_running_loop().time() + (_ANSWER_SECONDS if self.share else 0.0)

    @property
    def requests_per_minute(self) -> float:
        """The requests that this process may send, if processes divide the account; else infinite.

        One slot's without a slot, because generations that exist must be read.
        """
        share = self.share
        return REQUESTS_PER_SLOT * max(1, share.size(time.monotonic())) if share else math.inf

    def _report_change(self) -> None:
        if share := self.share:
            share.on_change()


class Slot:
    """The room of one generation in flight."""
