import asyncio
import threading
from collections.abc import Callable

import pytest

from prefect_seedance.api.turns import Turns


class Counter:
    """Something scarce: a number that can be taken while it is above zero."""

    def __init__(self, free: int = 0) -> None:
        self.turns = Turns()
        self.free = free
        self.asked = 0
        self.takers: list[str] = []

    def taker(self, name: str, *, needs: int = 1) -> Callable[[float], bool]:
        def take(_: float) -> bool:
            self.asked += 1
            if self.free < needs:
                return False
            self.free -= 1
            self.takers.append(name)
            return True

        return take

    async def take(self, name: str, *, needs: int = 1, kind: str | None = None) -> None:
        await self.turns.take(self.taker(name, needs=needs), kind=kind)

    def give(self, number: int = 1) -> None:
        with self.turns.lock:
            self.free += number
            self.turns.serve()


async def test_free_turn_needs_no_wait() -> None:
    """What is free is taken at once, even if there is no time to wait."""
    counter = Counter(1)

    async with asyncio.timeout(0):
        await counter.take("first")

    assert counter.takers == ["first"]


async def test_serves_in_order() -> None:
    """Tasks get their turns in order of arrival."""
    counter = Counter()
    tasks = [asyncio.create_task(counter.take(name)) for name in "abc"]
    await asyncio.sleep(1)

    for _ in tasks:
        counter.give()
        await asyncio.sleep(1)

    assert counter.takers == ["a", "b", "c"]
    assert all(task.done() for task in tasks)


async def test_impossible_turn_blocks_no_other() -> None:
    """A task whose turn is not possible yet does not block those behind it."""
    counter = Counter()
    first = asyncio.create_task(counter.take("first", needs=2))
    second = asyncio.create_task(counter.take("second"))
    await asyncio.sleep(1)

    counter.give()
    await second
    blocked = not first.done()
    counter.give(2)
    await first

    assert blocked
    assert counter.takers == ["second", "first"]


async def test_many_waiters_cost_no_more() -> None:
    """To arrive, and to serve, asks only the first of each kind, and kinds are served in order of arrival."""
    counter = Counter()
    names = [f"{kind}{number}" for number in range(500) for kind in "ab"]
    tasks = [asyncio.create_task(counter.take(name, kind=name[0])) for name in names]
    await asyncio.sleep(1)

    arrived, counter.asked = counter.asked, 0
    counter.give(3)
    served = counter.asked

    assert arrived <= 2 * len(names)
    assert served == 5
    assert counter.takers == ["a0", "b0", "a1"]
    counter.give(len(names))
    await asyncio.gather(*tasks)
    assert counter.takers == names


async def test_cancelled_waiter_takes_nothing() -> None:
    """A task that was cancelled while it waited does not use up a turn."""
    counter = Counter()
    cancelled, other = (asyncio.create_task(counter.take(name)) for name in ("cancelled", "other"))
    await asyncio.sleep(1)

    cancelled.cancel()
    await asyncio.wait([cancelled])
    counter.give()
    await other

    assert counter.takers == ["other"]


async def test_looks_again_in_time() -> None:
    """A turn that becomes possible by time alone is taken then."""
    turns, loop = Turns(), asyncio.get_running_loop()
    opens_at = loop.time() + 30

    await turns.take(lambda now: now >= opens_at, look_again=lambda: opens_at)

    assert 30 <= loop.time() - opens_at + 30 < 30.5


async def test_wake_moves_the_time() -> None:
    """If the time becomes earlier, waking the tasks is enough."""
    turns, loop, opens_at = Turns(), asyncio.get_running_loop(), [3600.0]
    began = loop.time()
    task = asyncio.create_task(
        turns.take(lambda now: now >= began + opens_at[0], look_again=lambda: began + opens_at[0])
    )
    await asyncio.sleep(1)

    opens_at[0] = 30.0
    turns.wake()
    await task

    assert 30 <= loop.time() - began < 30.5


@pytest.mark.parametrize("served_by", ["thread", "loop"])
async def test_threads_serve_each_other(served_by: str) -> None:
    """A turn that ends in one thread wakes a task in the event loop of another."""
    counter, is_waiting = Counter(), threading.Event()

    async def wait() -> None:
        task = asyncio.create_task(counter.take("waiting"))
        await asyncio.sleep(0)
        is_waiting.set()
        await asyncio.wait_for(task, 20)

    waiting = asyncio.create_task(asyncio.to_thread(asyncio.run, wait()))
    await asyncio.to_thread(is_waiting.wait, 20)
    await asyncio.to_thread(counter.give) if served_by == "thread" else counter.give()
    await waiting

    assert counter.takers == ["waiting"]


async def test_closed_loops_are_skipped() -> None:
    """A task whose event loop was closed without cancelling it gets no turn."""
    counter = Counter()
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(counter.take("abandoned"))
    await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0))
    loop.close()
    living = asyncio.create_task(counter.take("living"))
    await asyncio.sleep(0)

    counter.give()
    await living

    assert counter.takers == ["living"]
    abandoned._log_destroy_pending = False  # type: ignore[attr-defined]  # it is abandoned on purpose
