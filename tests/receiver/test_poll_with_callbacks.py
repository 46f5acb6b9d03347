"""How a run waiting for outcomes that a receiver records; in real time, because the ledger has real times."""

import asyncio
import itertools

import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome
from prefect_seedance.errors import DeadlineError
from prefect_seedance.options import Waiting
from prefect_seedance.storage.store import Store
from tests.status_api import Api, accepted, polling, soon, status, success

_OFTEN = Waiting(
    first_poll_seconds=0.2, poll_every_seconds=0.1, callback_grace_seconds=1.0, read_ledger_every_seconds=0.1
)
_WOKEN_ONLY = Waiting(first_poll_seconds=600)
"""Polls nothing unless it is woken."""


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


def with_callback(number: int = 1) -> Attempt:
    """Return an attempt that requested a callback."""
    attempt = accepted(number)
    changes = {"request_type": "callback", "callback_url": "https://hooks.example.com"}
    request = attempt.intent.request.model_copy(update=changes)
    return attempt.model_copy(update={"intent": attempt.intent.model_copy(update={"request": request})})


async def record_end(attempt: Attempt, ledger: Ledger, *, after: float) -> Attempt:
    """Record an outcome as a receiver does."""
    await asyncio.sleep(after)
    generation = Generation(
        generation_id=attempt.generation_id, state="success", result_urls=("https://a/b",)
    )
    return await ledger.conclude(attempt, Outcome.of_generation(generation, model=attempt.intent.model))


async def test_recorded_outcome_needs_no_poll(ledger: Ledger) -> None:
    """An outcome that the receiver has recorded is found in the ledger."""
    api, states = Api(lambda _: success()), list[str]()

    async with polling(api, _OFTEN) as poller:
        poller.listeners.add(lambda _, generation: states.append(generation.state))
        ending = asyncio.create_task(record_end(with_callback(), ledger, after=0.5))
        attempt = await poller.wait(with_callback(), ledger=ledger, deadline=soon())

    assert attempt.outcome == (await ending).outcome
    assert api.polls == []
    assert states == ["success"]


async def test_event_wakes_at_once(ledger: Ledger) -> None:
    """An event makes the run read the recorded outcome without waiting for the next poll."""
    api = Api(lambda _: success())

    async with polling(api, _WOKEN_ONLY) as poller, asyncio.timeout(30):
        waiting = asyncio.create_task(poller.wait(with_callback(), ledger=ledger, deadline=soon()))
        await record_end(with_callback(), ledger, after=0.1)
        poller.wake("task_1")
        await waiting

    assert api.polls == []


async def test_event_without_record_polls(ledger: Ledger) -> None:
    """An event without a recorded outcome makes the run read the status, at most once a second."""
    api = Api(lambda now: success() if now > 2 else status("processing"))

    async with polling(api, _WOKEN_ONLY) as poller, asyncio.timeout(30):
        waiting = asyncio.create_task(poller.wait(with_callback(), ledger=ledger, deadline=soon()))
        while not waiting.done():
            poller.wake("task_1")
            poller.wake("other_task")
            await asyncio.sleep(0.05)

    moments = [moment for _, moment in api.polls]
    assert len(moments) >= 2
    assert all(later - sooner >= 0.99 for sooner, later in itertools.pairwise(moments))


async def test_overdue_callback_ends_trust(ledger: Ledger) -> None:
    """If a callback is overdue, its clip is polled late, and later clips as soon as they may have ended."""
    api = Api(lambda _: success())

    async with polling(api, _OFTEN) as poller:
        await poller.wait(with_callback(1), ledger=ledger, deadline=soon())
        assert api.polls[-1][1] >= 1.2
        async with asyncio.timeout(1.1):
            await poller.wait(with_callback(2), ledger=ledger, deadline=soon())


async def test_polls_seldom_while_trusted(ledger: Ledger) -> None:
    """As long as no callback was missed, a slow generation is polled seldom."""
    api = Api(lambda now: success() if now > 3 else status("processing"))

    async with polling(api, _OFTEN) as poller:
        await poller.wait(with_callback(), ledger=ledger, deadline=soon())

    moments = [moment for _, moment in api.polls]
    assert len(moments) >= 2
    assert all(later - sooner >= 0.99 for sooner, later in itertools.pairwise(moments))


async def test_callback_restores_trust(ledger: Ledger) -> None:
    """After a missed callback, one that arrives makes polls rare again."""
    api = Api(lambda _: success())

    async with polling(api, _OFTEN) as poller:
        await poller.wait(with_callback(1), ledger=ledger, deadline=soon())
        await record_end(with_callback(2), ledger, after=0)
        await poller.wait(with_callback(2), ledger=ledger, deadline=soon())
        with pytest.raises(DeadlineError):
            await poller.wait(with_callback(3), ledger=ledger, deadline=soon(0.9))

    assert [generation for generation, _ in api.polls] == ["task_1"]
