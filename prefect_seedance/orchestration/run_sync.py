"""Run a coroutine to its end from synchronous code."""

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


def finish(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run to its end what a coroutine function does, in a thread and an event loop of its own.

    Code that runs within an event loop and cannot await, as a sync task of an async flow, may do so too; the
    loop then stands still. A signal that ends the waiting, as Ctrl-C or the cancelling of a flow run,
    cancels the work first, so that it stops in good order.

    Args:
        work: The method that async code should await instead.

    Raises:
        RuntimeError: If the caller is async code, which can await; nothing was begun.
    """
    if _can_await():
        name = work.__name__
        raise RuntimeError(
            f"In async code, await {name}() instead of calling {name[1:]}(); nothing was begun"
        )
    errand = _Errand(work)
    try:
        threading.Thread(target=copy_context().run, args=(errand.run,), name="seedance").start()
        return errand.end.result()
    except BaseException:
        errand.cancel()
        raise


class _Errand(Generic[_T]):
    """Work that another thread may cancel, even before it has begun.

    Attributes:
        end: What comes of it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self.end: Future[_T] = Future()
        self._work = work
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._cancel: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Work, unless it was cancelled."""
        if not self.end.set_running_or_notify_cancel():
            return
        try:
            self.end.set_result(asyncio.run(self._watched()))
        except BaseException as error:  # noqa: BLE001 -- whoever waits gets it
            self.end.set_exception(error)

    async def _watched(self) -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(self._work())
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_cancelled:
                task.cancel()
        return await task

    def cancel(self) -> None:
        """Keep it from beginning, or have it stop and wait for its end."""
        if self.end.cancel() or self.end.done():
            return
        with self._lock, suppress(RuntimeError):  # its loop may be closed in this moment
            self._is_cancelled = True
            self._cancel()
        wait([self.end])


def _can_await() -> bool:
    """Tell whether the caller is async code, as Prefect does: by its flow or task, or else its event loop."""
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
