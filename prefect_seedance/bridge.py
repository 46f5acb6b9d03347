"""Run a coroutine to its end from synchronous code."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

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
    errand = _Errand()
    with ThreadPoolExecutor(1, thread_name_prefix="seedance") as thread:
        future = thread.submit(copy_context().run, asyncio.run, errand.of(work()))
        try:
            return future.result()
        finally:
            if not future.done():
                errand.cancel()


class _Errand:
    """Work that another thread may cancel, even before it has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._cancel: Callable[[], object] = lambda: None

    async def of(self, work: Coroutine[Any, Any, _T]) -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_cancelled:
                task.cancel()
        return await task

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            self._cancel()


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
