import asyncio

import pytest

from prefect_seedance.clips.delay_queue import DelayQueue


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_sorts_by_due_time() -> None:
    """Items come when they are due, in whatever order they were added."""
    queue, began = DelayQueue[str](), now()
    for item, due in (("late", 30), ("early", 10), ("between", 20)):
        queue.put(item, began + due)

    came = [(await queue.next(), round(now() - began)) for _ in range(3)]

    assert came == [("early", 10), ("between", 20), ("late", 30)]


async def test_rescheduled_item_comes_once() -> None:
    """An item that is added several times comes once, at the earliest time."""
    queue, began = DelayQueue[str](), now()
    for due in (30, 10, 20):
        queue.put("clip", began + due)

    came = (await queue.next(), round(now() - began))

    assert came == ("clip", 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await queue.next()


async def test_wakes_waiting_consumer() -> None:
    """A consumer that waits for a later item gets an earlier one that is added meanwhile."""
    queue, began = DelayQueue[str](), now()
    queue.put("late", began + 100)
    waiting = asyncio.create_task(queue.next())
    await asyncio.sleep(5)

    queue.put("early", now())

    assert await waiting == "early"
    assert now() - began < 6


async def test_dropped_item_never_comes() -> None:
    """An item that was dropped does not come, and can be added again."""
    queue, began = DelayQueue[str](), now()
    queue.put("clip", began + 10)
    queue.drop("clip")
    queue.put("clip", began + 50)

    assert await queue.next() == "clip"
    assert round(now() - began) == 50


async def test_item_has_one_consumer() -> None:
    """With many consumers, each item goes to one of them."""
    queue = DelayQueue[int]()
    consumers = [asyncio.create_task(queue.next()) for _ in range(20)]
    for number in range(20):
        queue.put(number, now() + number % 3)

    assert sorted(await asyncio.gather(*consumers)) == list(range(20))
