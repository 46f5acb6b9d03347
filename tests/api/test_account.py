import asyncio
from collections.abc import Awaitable, Callable

import pytest

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Limiter


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _seconds_for(turns: int, limiter: Limiter) -> float:
    """Measure how long many who come at once wait for their turns."""
    began = _now()
    await asyncio.gather(*[limiter.turn() for _ in range(turns)])
    return _now() - began


def test_pins_the_limits() -> None:
    """The defaults are the account's limits."""
    assert (REQUESTS_PER_MINUTE, GENERATIONS_IN_FLIGHT) == (10_000, 1_000)
    assert Limiter().requests_per_minute == 10_000


async def test_paces_evenly() -> None:
    """Ten requests at 60 a minute take nine seconds."""
    limiter = Limiter(60)

    assert 9 <= await _seconds_for(10, limiter) < 9.5


async def test_first_goes_at_once() -> None:
    """Nobody waits for a budget that nobody uses."""
    limiter = Limiter(1)

    assert await _seconds_for(1, limiter) < 0.1


async def test_idle_time_earns_no_burst() -> None:
    """After some quiet minutes requests are as far apart as ever."""
    limiter = Limiter(60)
    await limiter.turn()
    await asyncio.sleep(300)

    assert 4 <= await _seconds_for(5, limiter) < 4.5


@pytest.mark.parametrize("wait", [Limiter.turn, Limiter.opened], ids=["turn", "opened"])
async def test_asked_pause_holds_everyone(wait: Callable[[Limiter], Awaitable[None]]) -> None:
    """After a 429 nothing leaves for as long as the API asked."""
    limiter = Limiter()
    began = _now()

    limiter.refused(7)
    await wait(limiter)

    assert 7 <= _now() - began < 7.5


async def test_pause_holds_the_queue() -> None:
    """Who has been given a turn before a 429 waits as well, and then no crowd bursts out."""
    limiter = Limiter(600)
    turns = [asyncio.create_task(limiter.turn()) for _ in range(11)]
    await asyncio.sleep(0.05)
    began = _now()

    limiter.refused(5)
    await asyncio.wait(turns, timeout=4.9)
    still_waiting = sum(not turn.done() for turn in turns)
    await asyncio.gather(*turns)

    assert still_waiting == 10
    assert 5.9 <= _now() - began < 7.5


@pytest.mark.parametrize("asked", [None, 0.0], ids=["nothing said", "zero"])
async def test_pauses_grow(asked: float | None) -> None:
    """If the API does not say how long, each refusal in a row doubles the pause, up to a minute."""
    limiter = Limiter()
    pauses = []

    for _ in range(8):
        began = _now()
        limiter.refused(asked)
        await limiter.opened()
        pauses.append(round(_now() - began))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_success_forgets_refusals() -> None:
    """After something went well the next pause is short again."""
    limiter = Limiter()
    limiter.refused(None)
    await limiter.opened()
    limiter.went_well()
    began = _now()

    limiter.refused(None)
    await limiter.opened()

    assert round(_now() - began) == 1


async def test_volley_counts_once() -> None:
    """Sixteen requests under way that are all refused are one refusal, not sixteen."""
    limiter = Limiter(60)
    began = _now()

    for _ in range(16):
        limiter.refused(None)
    await limiter.opened()

    assert round(_now() - began) == 1
    assert 8 <= await _seconds_for(5, limiter) < 8.5


async def test_longest_asked_pause_counts() -> None:
    """Of several answers under way the one that asks for most patience is obeyed."""
    limiter = Limiter()
    began = _now()

    for asked in (None, 30, 5):
        limiter.refused(asked)
    await limiter.opened()

    assert 30 <= _now() - began < 30.5


async def test_pace_halves_and_recovers() -> None:
    """A 429 halves the pace, and requests that go well win it back."""
    limiter = Limiter(60)
    limiter.refused(1)
    await limiter.opened()

    halved = await _seconds_for(6, limiter)
    for _ in range(50):
        limiter.went_well()
    await asyncio.sleep(60)
    recovered = await _seconds_for(6, limiter)

    assert 10 <= halved < 10.5
    assert 5 <= recovered < 5.5


async def test_pace_has_a_floor() -> None:
    """However often the API refuses, one request every two seconds finds out whether it is over."""
    limiter = Limiter()
    for _ in range(30):
        limiter.refused(1)
        await limiter.opened()

    assert 8 <= await _seconds_for(5, limiter) < 8.5


async def test_slow_accounts_stay_slow() -> None:
    """The floor of the pace never lifts an account above its own limit."""
    limiter = Limiter(6)

    limiter.refused(1)
    await limiter.opened()

    assert 40 <= await _seconds_for(5, limiter) < 40.5


async def test_leaving_the_queue_harms_nobody() -> None:
    """Who is cancelled while waiting leaves a gap, and the others keep their turns."""
    limiter = Limiter(60)
    await limiter.turn()
    leaver, stayer = (asyncio.create_task(limiter.turn()) for _ in range(2))
    await asyncio.sleep(0.1)
    began = _now()

    leaver.cancel()
    await stayer

    assert leaver.cancelled()
    assert 1.5 <= _now() - began < 2.5


async def test_open_gate_takes_no_turn() -> None:
    """Looking whether the API is open uses none of the budget."""
    limiter = Limiter(1)

    for _ in range(10):
        await limiter.opened()

    assert await _seconds_for(1, limiter) < 0.1


async def test_threads_share_one_budget() -> None:
    """Event loops in several threads together keep to the account's pace."""
    limiter = Limiter(60_000)

    async def take_turns() -> None:
        for _ in range(100):
            await limiter.turn()

    began = _now()
    await asyncio.gather(*[asyncio.to_thread(asyncio.run, take_turns()) for _ in range(3)])

    assert _now() - began >= 0.298
