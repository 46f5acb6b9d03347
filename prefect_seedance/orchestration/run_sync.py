"""Run a coroutine function from synchronous code."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from prefect.context import get_run_context
from prefect.exceptions import MissingContextError

_T = TypeVar("_T")


def run_sync(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine function in a thread and an event loop of its own, and return its result.

    Code that runs in an event loop but cannot await, such as a sync task of an async flow, may call it too;
    it blocks that loop. A signal that interrupts the call, such as Ctrl-C or the cancellation of a flow run,
    cancels the work and waits for its end.

    Args:
        work: The method that async code should await instead.

    Raises:
        RuntimeError: If the caller is async code, which can await; nothing was started.
    """
    if _can_await():
        name = work.__name__
        raise RuntimeError(
            f"In async code, await {name}() instead of calling {name[1:]}(); nothing was started"
        )
    job = _Job(work)
    try:
        threading.Thread(target=copy_context().run, args=(job.run,), name="seedance").start()
        return job.result.result()
    except BaseException:
        job.cancel()
        raise


class _Job(Generic[_T]):
    """Work that another thread can cancel, even before it has started."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self.result: Future[_T] = Future()
        self._work = work
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._cancel: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Run the work, unless it was cancelled."""
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            self.result.set_result(asyncio.run(self._cancellable()))
        except BaseException as error:  # noqa: BLE001 -- raised again in the calling thread
            self.result.set_exception(error)

    async def _cancellable(self) -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(self._work())
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_cancelled:
                task.cancel()
        return await task

    def cancel(self) -> None:
        """Prevent the work from starting, or cancel it and wait for its end."""
        if self.result.cancel() or self.result.done():
            return
        with self._lock, suppress(RuntimeError):  # its event loop may just have been closed
            self._is_cancelled = True
            self._cancel()
        wait([self.result])


def _can_await() -> bool:
    """Whether the caller is async code. As in Prefect, its flow or task decides, else the event loop."""
    try:
        context = get_run_context()
    except MissingContextError:
        return _is_in_loop()
    running = getattr(context, "task", None) or getattr(context, "flow", None)
    return bool(getattr(running, "isasync", False)) and _is_in_loop()


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
