import asyncio
import itertools

import pytest

from prefect_seedance.api.pace import Pace


def now() -> float:
    return asyncio.get_running_loop().time()


async def moments(number: int, pace: Pace, *, limit: float) -> list[float]:
    """Return when several requests that wait at the same time are sent, relative to now."""
    began = now()

    async def send() -> float:
        await pace.wait(limit)
        return round(now() - began)

    return await asyncio.gather(*[send() for _ in range(number)])


async def test_paces_evenly() -> None:
    """The first request is sent at once; at 60 a minute, the others follow once a second."""
    assert await moments(5, Pace(), limit=60) == [0, 1, 2, 3, 4]


async def test_idle_time_earns_no_burst() -> None:
    """After idle minutes, requests keep the same distance."""
    pace = Pace()
    await pace.wait(60)
    await asyncio.sleep(300)

    assert await moments(4, pace, limit=60) == [0, 1, 2, 3]


async def test_cancelled_wait_leaves_a_gap() -> None:
    """A request that is cancelled while it waits leaves a gap, and the others keep their time."""
    pace = Pace()
    cancelled, other = asyncio.create_task(pace.wait(60)), asyncio.create_task(pace.wait(60))
    last, began = asyncio.create_task(pace.wait(60)), now()
    await asyncio.sleep(0.1)

    other.cancel()
    await last

    assert cancelled.done()
    assert 2 <= now() - began < 2.5


async def test_senders_keep_own_limits() -> None:
    """A sender with a low limit keeps it, and holds up no sender with a higher one."""
    pace = Pace()

    slow, fast = await asyncio.gather(moments(4, pace, limit=6), moments(20, pace, limit=600))

    assert all(later - sooner >= 9 for sooner, later in itertools.pairwise(slow))
    assert slow[-1] <= 31
    assert max(fast) <= 3


async def test_highest_limit_bounds_all() -> None:
    """Senders with different limits together keep the highest of them."""
    pace = Pace()
    await pace.wait(60)
    await asyncio.sleep(1)

    slow, fast = await asyncio.gather(moments(5, pace, limit=59), moments(5, pace, limit=60))

    together = sorted(slow + fast)
    assert all(later - sooner >= 1 for sooner, later in itertools.pairwise(together))
    assert together[-1] <= 11


async def test_queue_of_slow_sender_blocks_no_newcomer() -> None:
    """The reservations of a sender with a low limit do not delay one with a higher limit that comes later."""
    pace = Pace()
    queue = [asyncio.create_task(pace.wait(6)) for _ in range(10)]
    await asyncio.sleep(0.1)

    assert max(await moments(3, pace, limit=600)) < 1
    await asyncio.gather(*queue)


async def test_threads_share_one_pace() -> None:
    """Event loops in several threads together keep the pace."""
    pace = Pace()

    async def several() -> None:
        for _ in range(100):
            await pace.wait(60_000)

    began = now()
    await asyncio.gather(*[asyncio.to_thread(asyncio.run, several()) for _ in range(3)])

    assert now() - began >= 0.298


@pytest.mark.parametrize("limit", [0.5, 1e9])
async def test_first_request_is_immediate(limit: float) -> None:
    """Whatever the limit, the first request is sent without delay."""
    assert await moments(1, Pace(), limit=limit) == [0]


async def test_ceiling_slows_all() -> None:
    """All senders together keep the ceiling, and notice within a second that it has risen."""
    ceiling = [6.0]
    pace = Pace(ceiling=lambda: ceiling[0])

    async def rise() -> None:
        await asyncio.sleep(25)
        ceiling[0] = 60.0

    sent, _ = await asyncio.gather(moments(6, pace, limit=600), rise())

    assert sorted(sent) == [0, 10, 20, 25, 26, 27]
