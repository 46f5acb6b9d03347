"""Let work end in good order when a flow is told to stop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")

_GUARDS: dict[asyncio.AbstractEventLoop, "_Guard"] = {}
"""By the event loop whose SIGTERM is ours at present: one at most, for signals come to one thread."""


async def in_good_order(work: Coroutine[Any, Any, _T]) -> _T:
    """Do work, and have Prefect's SIGTERM cancel it before it breaks the event loop off.

    A flow's engine raises out of the loop wherever that is, and answers that are on their way are lost.
    Here the signal comes to the engine once all such work has ended. Whoever else listens is left alone.
    """
    guard = _guard()
    if guard is None:
        return await work
    task = asyncio.ensure_future(work)
    guard.add(task)
    try:
        return await task
    finally:
        if guard.is_asked:
            await asyncio.wait(guard.tasks)
        guard.leave(task)


@dataclass
class _Guard:
    """Takes SIGTERM from whoever had it, until all work has ended.

    Attributes:
        before: Who had it.
    """

    loop: asyncio.AbstractEventLoop
    before: Callable[..., object]
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    is_asked: bool = False

    def __call__(self, *_: object) -> None:
        self.is_asked = True
        for task in self.tasks:
            self.loop.call_soon_threadsafe(task.cancel)

    def add(self, task: asyncio.Task[Any]) -> None:
        """Guard this as well; what begins after the signal does not begin."""
        self.tasks.add(task)
        if self.is_asked:
            task.cancel()

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Give the signal back, and hand it on if it came, once nothing is left to guard."""
        if not self.is_asked:
            self.tasks.discard(task)
        if all(each.done() for each in self.tasks) and _GUARDS.pop(self.loop, None) is self:
            signal.signal(signal.SIGTERM, self.before)
            if self.is_asked:
                signal.raise_signal(signal.SIGTERM)


def _guard() -> _Guard | None:
    """Return the guard of this event loop, if the signal is Prefect's and comes to this thread."""
    loop = asyncio.get_running_loop()
    if loop in _GUARDS:
        return _GUARDS[loop]
    before = signal.getsignal(signal.SIGTERM)
    is_prefects = str(getattr(before, "__module__", "")).startswith("prefect.")
    if not callable(before) or not is_prefects or threading.current_thread() is not threading.main_thread():
        return None
    guard = _GUARDS[loop] = _Guard(loop, before)
    signal.signal(signal.SIGTERM, guard)
    return guard
