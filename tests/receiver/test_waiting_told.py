"""How a run waits for what a receiver records, in real time, for the ledger's is not to be skipped."""

import asyncio
import itertools

import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Polling
from prefect_seedance.clips.records import Attempt, Outcome
from prefect_seedance.errors import DeadlineError
from prefect_seedance.storage.store import Store
from tests.clips.test_poll import Api, accepted, soon, status, success, waiter

_PACE = Polling(first_seconds=0.2, every_seconds=0.1, callback_seconds=1.0, ledger_seconds=0.1)
_ASLEEP = Polling(first_seconds=600)
"""Looks at nothing by itself."""


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


def called(number: int = 1) -> Attempt:
    """Return an attempt that the API was asked to call back about."""
    attempt = accepted(number)
    asked = {"request_type": "callback", "callback_url": "https://hooks.example.com"}
    request = attempt.intent.request.model_copy(update=asked)
    return attempt.model_copy(update={"intent": attempt.intent.model_copy(update={"request": request})})


async def ends(attempt: Attempt, ledger: Ledger, *, after: float) -> Attempt:
    """Have somebody else record that a generation has ended."""
    await asyncio.sleep(after)
    generation = Generation(
        generation_id=attempt.generation_id, state="success", result_urls=("https://a/b",)
    )
    return await ledger.conclude(attempt, Outcome.of_generation(generation, model=attempt.intent.model))


async def test_recorded_end_needs_no_look(ledger: Ledger) -> None:
    """Where a callback is awaited, an end that its receiver has recorded is found in the ledger."""
    api, told = Api(lambda _: success()), list[str]()

    async with waiter(api, _PACE) as waiting:
        waiting.listeners.add(lambda _, generation: told.append(generation.state))
        ending = asyncio.create_task(ends(called(), ledger, after=0.5))
        attempt = await waiting.wait(called(), ledger=ledger, deadline=soon())

    assert attempt.outcome == (await ending).outcome
    assert api.looks == []
    assert told == ["success"]


async def test_event_wakes_at_once(ledger: Ledger) -> None:
    """Who is woken finds what is recorded without waiting for the next look."""
    api = Api(lambda _: success())

    async with waiter(api, _ASLEEP) as waiting, asyncio.timeout(30):
        waits = asyncio.create_task(waiting.wait(called(), ledger=ledger, deadline=soon()))
        await ends(called(), ledger, after=0.1)
        waiting.wake("task_1")
        await waits

    assert api.looks == []


async def test_hint_is_looked_into(ledger: Ledger) -> None:
    """Who is woken by somebody who recorded nothing reads the status, but not twice a second."""
    api = Api(lambda now: success() if now > 2 else status("processing"))

    async with waiter(api, _ASLEEP) as waiting, asyncio.timeout(30):
        waits = asyncio.create_task(waiting.wait(called(), ledger=ledger, deadline=soon()))
        while not waits.done():
            waiting.wake("task_1")
            waiting.wake("task_of_others")
            await asyncio.sleep(0.05)

    moments = [moment for _, moment in api.looks]
    assert len(moments) >= 2
    assert all(later - sooner >= 0.99 for sooner, later in itertools.pairwise(moments))


async def test_overdue_callback_is_not_trusted(ledger: Ledger) -> None:
    """If no callback comes, one clip is looked at late, and those after it as soon as they can be done."""
    api = Api(lambda _: success())

    async with waiter(api, _PACE) as waiting:
        await waiting.wait(called(1), ledger=ledger, deadline=soon())
        assert api.looks[-1][1] >= 1.2
        async with asyncio.timeout(1.1):
            await waiting.wait(called(2), ledger=ledger, deadline=soon())


async def test_looks_seldom_while_trusted(ledger: Ledger) -> None:
    """As long as no callback was missed, a generation that takes long is looked at seldom."""
    api = Api(lambda now: success() if now > 3 else status("processing"))

    async with waiter(api, _PACE) as waiting:
        await waiting.wait(called(), ledger=ledger, deadline=soon())

    moments = [moment for _, moment in api.looks]
    assert len(moments) >= 2
    assert all(later - sooner >= 0.99 for sooner, later in itertools.pairwise(moments))


async def test_trusts_callbacks_again(ledger: Ledger) -> None:
    """After a callback was missed, one that arrives makes looks rare again."""
    api = Api(lambda _: success())

    async with waiter(api, _PACE) as waiting:
        await waiting.wait(called(1), ledger=ledger, deadline=soon())
        await ends(called(2), ledger, after=0)
        await waiting.wait(called(2), ledger=ledger, deadline=soon())
        with pytest.raises(DeadlineError):
            await waiting.wait(called(3), ledger=ledger, deadline=soon(0.9))

    assert [generation for generation, _ in api.looks] == ["task_1"]
