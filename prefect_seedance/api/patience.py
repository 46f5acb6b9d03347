"""A bound of time after which what has already arrived still counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TURNS = 10
"""Turns of the event loop in which a task reads a short answer that has arrived; one or two are usual."""


@asynccontextmanager
async def patience(seconds: float | None) -> AsyncIterator[None]:
    """Bound the time of the work inside, and let it use what has arrived when the time is over.

    While a flow's blocking code or a busy machine holds up the event loop, an answer may arrive. The loop
    then notices the answer and the end of the time in the same turn, and `asyncio.timeout` would drop it.

    Raises:
        TimeoutError: If it takes longer.
    """
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    next_turn: asyncio.Handle

    def end(turns: int) -> None:
        nonlocal next_turn
        if turns:
            next_turn = loop.call_soon(end, turns - 1)
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        next_turn = loop.call_later(seconds, end, _TURNS)
        try:
            yield
        finally:
            next_turn.cancel()
