"""Wait in order of arrival, across event loops and threads."""

import asyncio
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Waiter:
    number: int
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
        self._numbers = itertools.count()
        self._waiting: dict[Hashable, OrderedDict[_Waiter, None]] = {}
        """By kind, in order of arrival."""

    async def take(
        self,
        take: Callable[[float], bool],
        *,
        kind: Hashable = None,
        look_again: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Wait until ``take`` returns True.

        A task that is cancelled at the moment of its turn has taken it, so the caller has to give it back.

        Args:
            take: Takes the turn if that is possible at a time, and returns whether it did. It is called
                under the lock, in order of arrival.
            kind: What the tasks have in common of which none can take a turn if the first one cannot, so that
                the others need not be asked. Default: the task is of its own kind.
            look_again: Returns the time at which turns become possible without a call of `serve`.
        """
        waiter = _Waiter(next(self._numbers), take, asyncio.get_running_loop())
        kind = waiter if kind is None else kind
        with self.lock:
            self._waiting.setdefault(kind, OrderedDict())[waiter] = None
        try:
            self.serve()
            while waiter in self._waiting.get(kind, ()):
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(look_again()):
                        await waiter.changed.wait()
                waiter.changed.clear()
                self.serve()
        finally:
            with self.lock:
                self._remove(kind, waiter)

    def serve(self) -> None:
        """Give a turn to every task that can take it now."""
        with self.lock:
            firsts = {kind: next(iter(waiting)) for kind, waiting in self._waiting.items()}
            while firsts:
                kind, waiter = min(firsts.items(), key=lambda item: item[1].number)
                del firsts[kind]
                if waiter.loop.is_closed() or waiter.take(waiter.loop.time()):
                    self._remove(kind, waiter)
                    waiter.wake()
                    if kind in self._waiting:
                        firsts[kind] = next(iter(self._waiting[kind]))

    def wake(self) -> None:
        """Make all tasks look again, because the time has changed at which they should."""
        with self.lock:
            for waiting in self._waiting.values():
                for waiter in waiting:
                    waiter.wake()

    def _remove(self, kind: Hashable, waiter: _Waiter) -> None:
        if waiting := self._waiting.get(kind):
            waiting.pop(waiter, None)
            if not waiting:
                del self._waiting[kind]
