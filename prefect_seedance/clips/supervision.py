"""Finish work that must not be left half done, however often its caller is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

_T = TypeVar("_T")


async def supervise(work: Coroutine[None, None, _T], *, on_cancel: Callable[[], object] = lambda: None) -> _T:
    """Await work in a task of its own, and if cancelled, wait for its end before ending too.

    Args:
        work: Bounded by time itself, because nothing else ends it.
        on_cancel: Called for each cancellation.
    """
    task, is_cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
            on_cancel()
    if not is_cancelled:
        return task.result()
    if not task.cancelled() and (error := task.exception()):
        _log.warning("While the run was stopped: %s", error)
    raise asyncio.CancelledError
