"""Cancel work in an orderly way when Prefect stops a flow run, or its time limit is over."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

from prefect.utilities import engine

_T = TypeVar("_T")

_SIGNALS = (signal.SIGTERM, signal.SIGALRM)
"""What stops a flow run, and what ends a sync flow with ``timeout_seconds`` in the main thread."""

_HANDLERS: dict[asyncio.AbstractEventLoop, "_Handler"] = {}
"""By event loop; at most one, because signals arrive in the main thread only."""


async def cancel_on_signal(work: Coroutine[Any, Any, _T]) -> _T:
    """Await work, and cancel it at a signal before Prefect's own handler stops the event loop.

    Prefect's handler raises in whatever the event loop executes: responses in transit would be lost, or the
    exception itself if a callback raised it. Here it runs after all such work has ended, in the work's own
    task. Handlers other than Prefect's are left alone.
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
    """Handles signals until all work of an event loop has ended.

    Attributes:
        former: Prefect's handlers, which are restored.
        received: The first signal that has arrived, 0 before.
    """

    loop: asyncio.AbstractEventLoop
    former: Mapping[signal.Signals, Callable[..., object]]
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    received: int = 0

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has arrived."""
        return self.received != 0

    def __call__(self, number: int, *_: object) -> None:
        self.received = self.received or number
        for task in self.tasks:
            self.loop.call_soon_threadsafe(task.cancel)

    def add(self, task: asyncio.Task[Any]) -> None:
        """Add work; after the signal, cancel it before it starts."""
        self.tasks.add(task)
        if self.is_stopping:
            task.cancel()

    def remove(self, task: asyncio.Task[Any]) -> None:
        """Remove ended work; after the last, restore Prefect's handlers and pass the signal on to them."""
        if not self.is_stopping:
            self.tasks.discard(task)
        if all(each.done() for each in self.tasks) and _HANDLERS.pop(self.loop, None) is self:
            for number, handler in self.former.items():
                _handle(number, handler)
            if self.is_stopping:
                signal.raise_signal(self.received)


def _install() -> _Handler | None:
    """Return this event loop's handler, or None if Prefect handles no signal in this thread."""
    loop = asyncio.get_running_loop()
    if loop in _HANDLERS:
        return _HANDLERS[loop]
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    former = {number: handler for number, handler in handlers.items() if _is_prefects(handler)}
    if not former or threading.current_thread() is not threading.main_thread():
        return None
    handler = _HANDLERS[loop] = _Handler(loop, former)
    for number in former:
        _handle(number, handler)
    return handler


def _handle(number: signal.Signals, handler: Callable[..., object]) -> None:
    """Install a handler; for SIGTERM, as one that Prefect takes for its own.

    Before Prefect cancels or reschedules a run, it sends the reason to the run's process. A process with
    another handler of SIGTERM does not acknowledge it, and is then killed at once, amid a submission.
    """
    with getattr(engine, "_prefect_sigterm_bridge_lock", nullcontext()):
        signal.signal(number, handler)
        if number is signal.SIGTERM:
            vars(engine).update(_prefect_sigterm_handler=handler)


def _is_prefects(handler: object) -> TypeGuard[Callable[..., object]]:
    return callable(handler) and str(getattr(handler, "__module__", "")).startswith("prefect.")
