import asyncio
import math
import time

import pytest

from prefect_seedance.api.account import Account
from prefect_seedance.api.slots import Block, Share, Slots


def now() -> float:
    return asyncio.get_running_loop().time()


def shared(size: int, *, seconds: float = 3600.0) -> Slots:
    """Return slots of which this process may use some."""
    slots = Slots()
    slots.share = Share({"lease": Block(size, now() + seconds)})
    return slots


async def test_slots_are_limited() -> None:
    """A slot is given when one is released, in order of arrival."""
    slots, order = Slots(), []

    async def generate(number: int) -> None:
        slot = await slots.acquire(limit=2, deadline=now() + 60)
        order.append((number, round(now() - began)))
        await asyncio.sleep(10)
        slots.release(slot)

    began = now()
    await asyncio.gather(*[generate(number) for number in range(5)])

    assert order == [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]


async def test_slots_have_a_deadline() -> None:
    """A wait for a slot ends at its deadline, and takes none."""
    slots = Slots()
    taken = slots.take()
    began = now()

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=1, deadline=began + 30)
    ended = now()
    slots.release(taken)

    assert 30 <= ended - began < 30.5
    await slots.acquire(limit=1, deadline=0)


async def test_free_slots_need_no_time() -> None:
    """Past the deadline, a free slot is taken, and a full account refuses at once."""
    slots = Slots()
    began = now()

    await slots.acquire(limit=1, deadline=0)
    with pytest.raises(TimeoutError):
        await slots.acquire(limit=1, deadline=0)

    assert now() - began < 0.5


async def test_existing_generations_take_slots() -> None:
    """Generations that exist take slots beyond the limit, and new ones wait until there are fewer."""
    slots = Slots()
    existing = [slots.take() for _ in range(3)]
    waiting = asyncio.create_task(slots.acquire(limit=2, deadline=now() + 60))

    slots.release(existing[0])
    await asyncio.sleep(1)
    is_full = not waiting.done()
    slots.release(existing[1])
    await asyncio.sleep(1)

    assert is_full
    assert waiting.done()


async def test_slots_have_no_common_limit() -> None:
    """A run with a low limit waits, and does not block one with a higher limit."""
    slots = Slots()
    taken = slots.take()
    low = asyncio.create_task(slots.acquire(limit=1, deadline=now() + 60))
    await asyncio.sleep(1)

    high = await slots.acquire(limit=2, deadline=now() + 60)
    slots.release(taken)
    slots.release(high)

    await low


async def test_slots_are_released_once() -> None:
    """Releasing a slot twice makes room for one generation."""
    slots = Slots()
    slot, _ = slots.take(), slots.take()

    slots.release(slot)
    slots.release(slot)
    await slots.acquire(limit=2, deadline=0)

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=2, deadline=0)


@pytest.mark.parametrize("turns", range(4))
async def test_cancelled_waiter_leaves_its_slot(turns: int) -> None:
    """A run that is cancelled around the moment when it gets a slot passes it on."""
    slots = Slots()
    taken = slots.take()
    cancelled, other = (asyncio.create_task(slots.acquire(limit=1, deadline=now() + 600)) for _ in range(2))
    await asyncio.sleep(1)

    slots.release(taken)
    for _ in range(turns):
        await asyncio.sleep(0)
    if not cancelled.cancel():
        slots.release(cancelled.result())
    await asyncio.wait([cancelled])

    await asyncio.wait_for(other, 10)


async def test_threads_share_slots() -> None:
    """Event loops in two threads together keep the limit."""
    slots, lanes = Slots(), [0]
    most = 0

    async def generate() -> None:
        nonlocal most
        slot = await slots.acquire(limit=2, deadline=now() + 60)
        lanes[0] += 1
        most = max(most, lanes[0])
        await asyncio.sleep(0.02)
        lanes[0] -= 1
        slots.release(slot)

    async def produce() -> None:
        await asyncio.gather(*[generate() for _ in range(5)])

    await asyncio.gather(*[asyncio.to_thread(asyncio.run, produce()) for _ in range(2)])

    assert most == 2


async def test_share_limits_slots() -> None:
    """Of an account that processes divide, a process uses its share, and more once it has more."""
    slots = shared(1)
    await slots.acquire(limit=10, deadline=0)
    waiting = asyncio.create_task(slots.acquire(limit=10, deadline=now() + 60))
    await asyncio.sleep(1)
    is_full = not waiting.done()

    assert slots.share
    with slots.changing():
        slots.share.blocks["other"] = Block(1, now() + 60)

    await waiting
    assert is_full


async def test_own_limit_holds_within_share() -> None:
    """A run's own limit holds even if its process has more slots."""
    slots = shared(5)
    await slots.acquire(limit=1, deadline=0)

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=1, deadline=0)


async def test_lost_share_stops_submissions() -> None:
    """Once its lease has ended, a process starts nothing, even if nothing reports the end."""
    slots = shared(2, seconds=30)
    await slots.acquire(limit=10, deadline=0)
    await asyncio.sleep(31)

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=10, deadline=now() + 60)


async def test_share_is_kept_below_its_size() -> None:
    """While other processes wait, a process starts nothing beyond its equal part."""
    slots = shared(4)
    assert slots.share
    slots.share.most = 1
    await slots.acquire(limit=10, deadline=0)

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=10, deadline=0)


async def test_needs_slots_for_waiting_clips() -> None:
    """A process needs slots for what is in flight and what waits, within the limits of those that wait."""
    slots = shared(1)
    taken = await slots.acquire(limit=3, deadline=0)
    waiting = [asyncio.create_task(slots.acquire(limit=3, deadline=now() + 60)) for _ in range(5)]
    await asyncio.sleep(1)
    with_waiting = slots.needed

    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    without = slots.needed
    slots.release(taken)

    assert (with_waiting, without, slots.needed) == (3, 1, 0)


async def test_changes_are_reported() -> None:
    """Each change is reported to the share's holder."""
    slots, reports = shared(5), []
    assert slots.share
    slots.share.on_change = lambda: reports.append(slots.needed)

    slot = await slots.acquire(limit=5, deadline=0)
    slots.release(slot)
    slots.take()

    assert reports == [1, 0, 1]


@pytest.mark.parametrize(("slots", "requests"), [(50, 500), (1, 10), (0, 10)])
def test_share_limits_requests(slots: int, requests: int) -> None:
    """A process may send ten requests a minute for each of its slots; without any it may still poll."""
    account = Account()
    account.slots.share = Share({"lease": Block(slots, time.monotonic() + 60)})

    assert account.slots.requests_per_minute == requests


def test_whole_account_has_no_share() -> None:
    """Without other processes, only each client's own limit of requests holds."""
    assert Slots().requests_per_minute == math.inf
