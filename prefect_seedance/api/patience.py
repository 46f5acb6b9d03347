"""A bound of time that a busy event loop does not use up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LATE_SECONDS = 0.5
"""If the end of the time is noticed later than this, the event loop stood still."""


@asynccontextmanager
async def patience(seconds: float | None) -> AsyncIterator[None]:
    """Bound the time of the work inside.

    An answer may arrive while the event loop stands still, because the machine is busy or a flow runs
    blocking code. The loop then notices the end of the time and the answer in the same turn, and would drop
    the answer. So if the end is noticed late, the time starts again.

    Raises:
        TimeoutError: If it takes longer.
    """
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def start() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, end, loop.time() + seconds)

    def end(due: float) -> None:
        now = loop.time()
        if now - due > _LATE_SECONDS:
            start()
        else:
            limit.reschedule(now)

    async with asyncio.timeout(None) as limit:
        start()
        try:
            yield
        finally:
            timer.cancel()
