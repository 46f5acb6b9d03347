import asyncio
from collections.abc import Awaitable, Callable

import pytest

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Limiter


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _seconds_for(slots: int, limiter: Limiter) -> float:
    """Return how long it takes to acquire several slots at once."""
    began = _now()
    await asyncio.gather(*[limiter.acquire() for _ in range(slots)])
    return _now() - began


def test_pins_the_limits() -> None:
    """The defaults are the account's limits."""
    assert (REQUESTS_PER_MINUTE, GENERATIONS_IN_FLIGHT) == (10_000, 1_000)
    assert Limiter().requests_per_minute == 10_000


async def test_paces_evenly() -> None:
    """Ten requests at 60 a minute take nine seconds."""
    limiter = Limiter(60)

    assert 9 <= await _seconds_for(10, limiter) < 9.5


async def test_first_request_is_immediate() -> None:
    """The first request is sent without delay."""
    limiter = Limiter(1)

    assert await _seconds_for(1, limiter) < 0.1


async def test_idle_time_earns_no_burst() -> None:
    """After idle minutes, requests keep the same distance."""
    limiter = Limiter(60)
    await limiter.acquire()
    await asyncio.sleep(300)

    assert 4 <= await _seconds_for(5, limiter) < 4.5


@pytest.mark.parametrize("wait", [Limiter.acquire, Limiter.wait_for_pause], ids=["acquire", "wait"])
async def test_pause_holds_everyone(wait: Callable[[Limiter], Awaitable[None]]) -> None:
    """After a 429 nothing is sent for as long as the API requests."""
    limiter = Limiter()
    began = _now()

    limiter.pause(7)
    await wait(limiter)

    assert 7 <= _now() - began < 7.5


async def test_pause_holds_the_queue() -> None:
    """Requests that were queued before a 429 wait as well, and are not sent in a burst."""
    limiter = Limiter(600)
    turns = [asyncio.create_task(limiter.acquire()) for _ in range(11)]
    await asyncio.sleep(0.05)
    began = _now()

    limiter.pause(5)
    await asyncio.wait(turns, timeout=4.9)
    still_waiting = sum(not turn.done() for turn in turns)
    await asyncio.gather(*turns)

    assert still_waiting == 10
    assert 5.9 <= _now() - began < 7.5


@pytest.mark.parametrize("requested", [None, 0.0], ids=["no header", "zero"])
async def test_pauses_grow(requested: float | None) -> None:
    """Without Retry-After, each consecutive refusal doubles the pause, up to a minute."""
    limiter = Limiter()
    pauses = []

    for _ in range(8):
        began = _now()
        limiter.pause(requested)
        await limiter.wait_for_pause()
        pauses.append(round(_now() - began))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_success_forgets_refusals() -> None:
    """After a successful request the next pause is short again."""
    limiter = Limiter()
    limiter.pause(None)
    await limiter.wait_for_pause()
    limiter.speed_up()
    began = _now()

    limiter.pause(None)
    await limiter.wait_for_pause()

    assert round(_now() - began) == 1


async def test_concurrent_refusals_count_once() -> None:
    """Sixteen concurrent requests that are all refused count as one refusal."""
    limiter = Limiter(60)
    began = _now()

    for _ in range(16):
        limiter.pause(None)
    await limiter.wait_for_pause()

    assert round(_now() - began) == 1
    assert 8 <= await _seconds_for(5, limiter) < 8.5


async def test_longest_pause_counts() -> None:
    """Of several concurrent refusals, the longest requested pause counts."""
    limiter = Limiter()
    began = _now()

    for requested in (None, 30, 5):
        limiter.pause(requested)
    await limiter.wait_for_pause()

    assert 30 <= _now() - began < 30.5


async def test_pace_halves_and_recovers() -> None:
    """A 429 halves the pace, and successful requests win it back."""
    limiter = Limiter(60)
    limiter.pause(1)
    await limiter.wait_for_pause()

    halved = await _seconds_for(6, limiter)
    for _ in range(50):
        limiter.speed_up()
    await asyncio.sleep(60)
    recovered = await _seconds_for(6, limiter)

    assert 10 <= halved < 10.5
    assert 5 <= recovered < 5.5


async def test_pace_has_a_floor() -> None:
    """However often the API refuses, one request is sent every two seconds."""
    limiter = Limiter()
    for _ in range(30):
        limiter.pause(1)
        await limiter.wait_for_pause()

    assert 8 <= await _seconds_for(5, limiter) < 8.5


async def test_slow_accounts_stay_slow() -> None:
    """The minimum pace never exceeds an account's own limit."""
    limiter = Limiter(6)

    limiter.pause(1)
    await limiter.wait_for_pause()

    assert 40 <= await _seconds_for(5, limiter) < 40.5


async def test_cancelling_keeps_the_queue() -> None:
    """A request that is cancelled while it waits leaves a gap, and the others keep their slots."""
    limiter = Limiter(60)
    await limiter.acquire()
    cancelled, other = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await asyncio.sleep(0.1)
    began = _now()

    cancelled.cancel()
    await other

    assert cancelled.cancelled()
    assert 1.5 <= _now() - began < 2.5


async def test_waiting_takes_no_slot() -> None:
    """Waiting for the end of a pause reserves no slot."""
    limiter = Limiter(1)

    for _ in range(10):
        await limiter.wait_for_pause()

    assert await _seconds_for(1, limiter) < 0.1


async def test_threads_share_one_budget() -> None:
    """Event loops in several threads together keep the account's pace."""
    limiter = Limiter(60_000)

    async def acquire_slots() -> None:
        for _ in range(100):
            await limiter.acquire()

    began = _now()
    await asyncio.gather(*[asyncio.to_thread(asyncio.run, acquire_slots()) for _ in range(3)])

    assert _now() - began >= 0.298
