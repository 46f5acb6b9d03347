"""The turns of clips that are archived."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from prefect_seedance.production.oldest_first import OldestFirst

NOW = datetime.now(UTC)


async def begin(turns: OldestFirst, days: int | None, order: list[int | None]) -> asyncio.Task[None]:
    """Queue a clip whose link expires in so many days."""

    async def archive() -> None:
        async with turns.turn(None if days is None else NOW + timedelta(days=days)):
            order.append(days)
            await asyncio.sleep(1)

    task = asyncio.create_task(archive())
    await asyncio.sleep(0)
    return task


async def test_oldest_link_comes_first() -> None:
    """Once all clips are known, they are archived in the order in which their links expire."""
    turns, order = OldestFirst(is_open=False), list[int | None]()
    given = [9, None, 1, 12, 5, 3, 14, 2, 7, 4, 11]
    tasks = [await begin(turns, days, order) for days in given]
    assert order == []

    turns.open()
    await asyncio.gather(*tasks)

    assert order == [*sorted(days for days in given if days), None]


async def test_few_clips_at_a_time() -> None:
    """The ninth clip waits until one of the first eight is archived, also if it is more urgent."""
    turns, order = OldestFirst(), list[int | None]()
    tasks = [await begin(turns, 10 + days, order) for days in range(10)]
    tasks.append(await begin(turns, 1, order))
    assert len(order) == 8

    await asyncio.gather(*tasks)

    assert order[8:] == [1, 18, 19]


async def test_cancelled_clip_takes_no_turn() -> None:
    """A clip that is cancelled while it waits, or in its turn, leaves its turn to others."""
    turns, order = OldestFirst(), list[int | None]()
    tasks = [await begin(turns, days, order) for days in range(10)]

    for cancelled in (tasks[8], tasks[0]):
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled
    await asyncio.gather(*tasks[1:8], tasks[9])

    assert order == [*range(8), 9]
    async with asyncio.timeout(5):
        await asyncio.gather(*[await begin(turns, days, order) for days in range(8)])
