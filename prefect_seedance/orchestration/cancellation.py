"""Cancel work in an orderly way when Prefect stops a flow run."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")

_HANDLERS: dict[asyncio.AbstractEventLoop, "_Handler"] = {}
"""By event loop; at most one, because signals arrive in the main thread only."""


async def cancel_on_sigterm(work: Coroutine[Any, Any, _T]) -> _T:
    """Await work, and cancel it at SIGTERM before Prefect's own handler stops the event loop.

    Prefect's handler raises out of the event loop at once, so responses in transit would be lost. Here it
    runs after all such work has ended. Handlers other than Prefect's are left alone.
    """
    handler = _install()
    if handler is None:
        return await work
    task = asyncio.ensure_future(work)
    handler.add(task)
    try:
        return await task
    finally:
        if handler.is_stopping:
            await asyncio.wait(handler.tasks)
        handler.remove(task)


@dataclass
class _Handler:
    """Handles SIGTERM until all work of an event loop has ended.

    Attributes:
        former: Prefect's handler, which is restored.
        is_stopping: Whether the signal has arrived.
    """

    loop: asyncio.AbstractEventLoop
    former: Callable[..., object]
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    is_stopping: bool = False

    def __call__(self, *_: object) -> None:
        self.is_stopping = True
        for task in self.tasks:
            self.loop.call_soon_threadsafe(task.cancel)

    def add(self, task: asyncio.Task[Any]) -> None:
        """Add work; after the signal, cancel it before it starts."""
        self.tasks.add(task)
        if self.is_stopping:
            task.cancel()

    def remove(self, task: asyncio.Task[Any]) -> None:
        """Remove ended work; after the last, restore Prefect's handler and pass the signal on to it."""
        if not self.is_stopping:
            self.tasks.discard(task)
        if all(each.done() for each in self.tasks) and _HANDLERS.pop(self.loop, None) is self:
            signal.signal(signal.SIGTERM, self.former)
            if self.is_stopping:
                signal.raise_signal(signal.SIGTERM)


def _install() -> _Handler | None:
    """Return this event loop's handler, or None if Prefect does not handle SIGTERM in this thread."""
    loop = asyncio.get_running_loop()
    if loop in _HANDLERS:
        return _HANDLERS[loop]
    former = signal.getsignal(signal.SIGTERM)
    is_prefects = str(getattr(former, "__module__", "")).startswith("prefect.")
    if not callable(former) or not is_prefects or threading.current_thread() is not threading.main_thread():
        return None
    handler = _HANDLERS[loop] = _Handler(loop, former)
    signal.signal(signal.SIGTERM, handler)
    return handler
