"""Wait in order of arrival, across event loops and threads."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Waiter:
    take: Callable[[float], bool]
    loop: asyncio.AbstractEventLoop
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        with suppress(RuntimeError):  # its loop was closed meanwhile
            self.loop.call_soon_threadsafe(self.changed.set)


class Turns:
    """The tasks that wait for something scarce; they may run in several event loops and threads.

    Event loops use the same monotonic clock, so a time of one is valid in all.

    Attributes:
        lock: Guards the state that decides about the turns.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._waiting: dict[_Waiter, None] = {}

    async def take(
        self, take: Callable[[float], bool], *, look_again: Callable[[], float | None] = lambda: None
    ) -> None:
        """Wait until ``take`` returns True.

        A task that is cancelled at the moment of its turn has taken it, so the caller has to give it back.

        Args:
            take: Takes the turn if that is possible at a time, and returns whether it did. It is called
                under the lock, in order of arrival.
            look_again: Returns the time at which turns become possible without a call of `serve`.
        """
        waiter = _Waiter(take, asyncio.get_running_loop())
        with self.lock:
            self._waiting[waiter] = None
        try:
            self.serve()
            while waiter in self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(look_again()):
                        await waiter.changed.wait()
                waiter.changed.clear()
                self.serve()
        finally:
            with self.lock:
                self._waiting.pop(waiter, None)

    def serve(self) -> None:
        """Give a turn to every task that can take it now."""
        with self.lock:
            for waiter in list(self._waiting):
                if waiter.loop.is_closed() or waiter.take(waiter.loop.time()):
                    del self._waiting[waiter]
                    waiter.wake()

    def wake(self) -> None:
        """Make all tasks look again, because the time has changed at which they should."""
        with self.lock:
            for waiter in self._waiting:
                waiter.wake()
