import asyncio

import pytest

from prefect_seedance.clips.delay_queue import DelayQueue


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_hands_out_in_time() -> None:
    """Items come when they are due, whatever the order in which they were put."""
    agenda, began = DelayQueue[str](), now()
    for item, due in (("late", 30), ("early", 10), ("between", 20)):
        agenda.put(item, began + due)

    came = [(await agenda.next(), round(now() - began)) for _ in range(3)]

    assert came == [("early", 10), ("between", 20), ("late", 30)]


async def test_put_earlier_comes_once() -> None:
    """An item that is put again comes at the earlier of both times, and only then."""
    agenda, began = DelayQueue[str](), now()
    for due in (30, 10, 20):
        agenda.put("clip", began + due)

    came = (await agenda.next(), round(now() - began))

    assert came == ("clip", 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await agenda.next()


async def test_wakes_who_waits() -> None:
    """Who waits for a later item gets an earlier one that is put meanwhile."""
    agenda, began = DelayQueue[str](), now()
    agenda.put("late", began + 100)
    waits = asyncio.create_task(agenda.next())
    await asyncio.sleep(5)

    agenda.put("early", now())

    assert await waits == "early"
    assert now() - began < 6


async def test_dropped_never_comes() -> None:
    """An item that was taken off does not come, and can be put again."""
    agenda, began = DelayQueue[str](), now()
    agenda.put("clip", began + 10)
    agenda.drop("clip")
    agenda.put("clip", began + 50)

    assert await agenda.next() == "clip"
    assert round(now() - began) == 50


async def test_each_to_one() -> None:
    """Of many who ask, each item goes to one."""
    agenda = DelayQueue[int]()
    asking = [asyncio.create_task(agenda.next()) for _ in range(20)]
    for number in range(20):
        agenda.put(number, now() + number % 3)

    assert sorted(await asyncio.gather(*asking)) == list(range(20))
