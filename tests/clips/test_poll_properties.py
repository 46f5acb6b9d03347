"""Properties of waiting: any sequence of answers, and a cancellation at any step of the event loop."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_seedance.api import account
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import NO_RESULT, Attempt, Result
from prefect_seedance.errors import DeadlineError, NotFoundError
from prefect_seedance.options import Waiting
from prefect_seedance.storage.store import Store
from tests.status_api import HOUR, Api, accepted, polling, refusal, soon, status, success
from tests.virtual_time import VirtualLoop

ODD: Mapping[str, httpx.Response | Exception] = {
    "404": refusal(404),
    "no URLs": success(()),
    "no usable URL": success(("file:///clip.mp4",)),
    "broken resultJson": status("success", resultJson="{"),
}
OTHER: Mapping[str, httpx.Response | Exception] = {
    "pending": status("pending"),
    "processing": status("processing"),
    "unknown state": status("dreaming"),
    "malformed state": httpx.Response(200, json={"code": 200, "data": {"state": {"is": None}}}),
    "429": refusal(429),
    "500": refusal(500),
    "503": refusal(503),
    "closed": httpx.ReadError("closed"),
    "garbage": httpx.Response(200, text="<html>"),
    "no data": httpx.Response(200, json={"code": 200, "data": []}),
}
ANSWERS = {**ODD, **OTHER}

PATIENCE = [(60.0, 2), (600.0, 9)]
"""Settling times, each with the number of odd reads in a row that take less, even with the longest pauses."""


@st.composite
def scripts(draw: st.DrawFn) -> tuple[float, Sequence[str]]:
    """Return a settling time, and names of answers whose oddity never lasts that long."""
    settling_seconds, most = draw(st.sampled_from(PATIENCE))
    runs = draw(st.lists(st.tuples(st.sampled_from(sorted(ANSWERS)), st.integers(1, 9)), max_size=20))
    names: list[str] = []
    for name in itertools.chain.from_iterable([name] * count for name, count in runs):
        latest = names[-most:]
        if not (len(latest) == most and {_oddity(each) for each in latest} == {_oddity(name)} != {""}):
            names.append(name)
    return settling_seconds, names


def _oddity(name: str) -> str:
    return "" if name not in ODD else "404" if name == "404" else "no URL"


def ledger() -> Ledger:
    return Ledger(Store.open(f"memory://{secrets.token_hex(8)}"))


def virtually(main: Coroutine[None, None, None]) -> None:
    """Run a coroutine on a virtual clock, whose times mean nothing to the accounts of other runs."""
    account._ACCOUNTS.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


@given(scripts())
@settings(max_examples=200)
def test_later_url_succeeds(script: tuple[float, Sequence[str]]) -> None:
    """Whatever the API answers for a while, a generation with a URL in the end is a success."""
    settling_seconds, names = script
    answers = iter(names)

    async def wait() -> None:
        api = Api(lambda _: ANSWERS[name] if (name := next(answers, "")) else success())
        async with polling(api, Waiting(settling_seconds=settling_seconds)) as poller:
            attempt = await poller.wait(accepted(), ledger=ledger(), deadline=soon(10 * HOUR))

        assert attempt.outcome
        assert attempt.outcome.result is Result.success
        assert len(api.polls) == len(names) + 1

    virtually(wait())


@given(
    name=st.sampled_from(sorted(ODD)),
    before=st.lists(st.sampled_from(sorted(OTHER)), max_size=10),
    settling_seconds=st.floats(0.001, 200),
)
def test_lasting_oddity_ends(name: str, before: Sequence[str], settling_seconds: float) -> None:
    """An odd answer that never changes ends the wait, after at least two reads and the settling time."""
    answers = iter(before)

    async def wait() -> None:
        api = Api(lambda _: OTHER[other] if (other := next(answers, "")) else ODD[name])
        code: str | None = "404"
        async with polling(api, Waiting(settling_seconds=settling_seconds)) as poller:
            try:
                attempt = await poller.wait(accepted(), ledger=ledger(), deadline=soon(10 * HOUR))
                code = attempt.outcome.code if attempt.outcome else None
            except NotFoundError:
                assert name == "404"

        odd = [moment for _, moment in api.polls[len(before) :]]
        assert code == ("404" if name == "404" else NO_RESULT)
        assert len(odd) >= 2
        assert settling_seconds <= odd[-1] - odd[0] <= settling_seconds + 95

    virtually(wait())


@given(
    answer=st.sampled_from(sorted(ANSWERS)),
    age=st.floats(-24 * HOUR, 14.9 * 24 * HOUR),
    settling_seconds=st.floats(0.001, HOUR),
)
def test_one_read_decides_nothing(answer: str, age: float, settling_seconds: float) -> None:
    """A run that does not wait leaves a generation in flight, unless its state is final."""

    async def poll() -> None:
        api = Api(lambda _: ANSWERS[answer])
        async with polling(api, Waiting(settling_seconds=settling_seconds)) as poller:
            attempt = await poller.poll_once(accepted(age_seconds=age), ledger=ledger(), deadline=soon())

        assert attempt.outcome is None
        assert len(api.polls) <= 1

    virtually(poll())


def call_at_step(step: int, function: Callable[[], object]) -> None:
    """Call a function before each step of the running loop, from this one on."""
    loop, steps = asyncio.get_running_loop(), itertools.count()
    assert isinstance(loop, VirtualLoop)
    loop.call_each_step(lambda: function() if next(steps) >= step else None)


async def _cancelled_at(step: int, cancel: Callable[[asyncio.Task[Attempt]], bool]) -> bool:
    """Cancel one of three waits from a step of the event loop on; return whether it ended before.

    The other waits are of the same generation and of another one.
    """
    api = Api(lambda now: success() if now > 50 else status("processing"))
    async with polling(api) as poller:
        shared = ledger()
        waits = [
            asyncio.create_task(poller.wait(accepted(number), ledger=shared, deadline=soon()))
            for number in (1, 1, 2)
        ]
        victim, *others = waits

        call_at_step(step, lambda: victim.done() or cancel(victim))
        await asyncio.wait([victim])
        call_at_step(0, lambda: None)
        ended = await asyncio.gather(*others)
        later = await poller.wait(accepted(3), ledger=shared, deadline=soon())

    for attempt in (*ended, later):
        assert attempt.outcome
        assert attempt.outcome.result is Result.success
    assert not poller._pending
    return not victim.cancelled()


def cancel_once(victim: asyncio.Task[Attempt]) -> bool:
    return not victim.cancelling() and victim.cancel()


@pytest.mark.parametrize("cancel", [cancel_once, asyncio.Task.cancel], ids=["once", "at each step"])
def test_cancelled_wait_harms_no_other(cancel: Callable[[asyncio.Task[Attempt]], bool]) -> None:
    """Wherever a wait is cancelled, the poller serves the others, also one of the same generation."""
    has_ended, step = False, 0

    while not has_ended:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            has_ended = runner.run(_cancelled_at(step, cancel))
        step += 1

    assert step > 20


async def _closed_at(step: int) -> bool:
    """Close the poller of two waits at a step of the event loop; return whether they ended before."""
    api = Api(lambda now: success() if now > 50 else status("processing"))
    closing = asyncio.Event()
    async with polling(api) as poller:
        waits = [
            asyncio.create_task(poller.wait(accepted(number), ledger=ledger(), deadline=soon(10 * HOUR)))
            for number in (1, 2)
        ]
        call_at_step(step, closing.set)
        await closing.wait()
        call_at_step(0, lambda: None)
    ended = await asyncio.gather(*waits, return_exceptions=True)

    for each in ended:
        assert isinstance(each, DeadlineError) or (isinstance(each, Attempt) and each.outcome)
    assert asyncio.get_running_loop().time() < HOUR
    return all(isinstance(each, Attempt) for each in ended)


def test_closing_at_any_step_ends_waits() -> None:
    """Wherever the poller is closed, every wait ends: with its outcome, or with how to continue."""
    has_ended, step = False, 0

    while not has_ended:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            has_ended = runner.run(_closed_at(step))
        step += 1

    assert step > 20


def test_waking_at_each_step_is_harmless() -> None:
    """Reports of the end at each step of the event loop cause one read a second, and no read is lost."""

    async def wait() -> None:
        api = Api(lambda now: success() if now > 50 else status("processing"))
        async with polling(api) as poller:
            call_at_step(0, lambda: poller.wake("task_1"))
            attempt = await poller.wait(accepted(), ledger=ledger(), deadline=soon())

        moments = [moment for _, moment in api.polls]
        assert attempt.outcome
        assert 50 < moments[-1] < 52
        assert all(later - sooner >= 1 for sooner, later in itertools.pairwise(moments))

    virtually(wait())
