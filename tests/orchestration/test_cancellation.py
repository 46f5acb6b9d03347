"""Work that a signal cancels before Prefect stops the event loop."""

import asyncio
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from prefect.exceptions import TerminationSignal
from prefect.utilities.engine import capture_sigterm, commit_control_intent_and_ack
from prefect.utilities.timeout import timeout

from prefect_seedance.orchestration.cancellation import cancel_on_signal

_NEVER_SECONDS = 600.0
"""A time limit that only its signal, sent by the test, brings forward."""


class TimeLimitError(TimeoutError):
    """The time limit of a flow is over."""


@pytest.fixture(autouse=True)
def _harmless() -> Iterator[None]:
    """Ignore the signal that Prefect sends to the former handler, which would end the tests."""
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, former)


async def interrupted(ended: list[str], *, name: str = "first", seconds: float = 0.05) -> None:
    """Wait until cancelled, and then take a while to record something."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(seconds)
        ended.append(name)


async def terminate() -> None:
    """Send SIGTERM once other work runs."""
    await asyncio.sleep(0.05)
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("number", "handling", "error"),
    [
        (signal.SIGTERM, capture_sigterm, TerminationSignal),
        (signal.SIGALRM, functools.partial(timeout, _NEVER_SECONDS, TimeLimitError), TimeLimitError),
    ],
    ids=["termination", "time limit"],
)
def test_work_ends_before_prefect(
    number: signal.Signals,
    handling: Callable[[], AbstractContextManager[None]],
    error: type[BaseException],
) -> None:
    """All work records what it has to before Prefect's handler raises, at SIGTERM or a flow's time limit."""
    ended: list[str] = []

    async def run() -> None:
        first = cancel_on_signal(interrupted(ended))
        second = cancel_on_signal(interrupted(ended, name="second", seconds=0.5))
        asyncio.get_running_loop().call_later(0.05, signal.raise_signal, number)  # amid any callback
        async with asyncio.timeout(_NEVER_SECONDS / 20):
            await asyncio.gather(first, second)

    with pytest.raises(error), handling():
        asyncio.run(run())

    assert ended == ["first", "second"]


def test_prefect_handler_comes_back() -> None:
    """After the work, Prefect handles SIGTERM again, and the result is returned."""

    async def run() -> bool:
        before = signal.getsignal(signal.SIGTERM)

        async def work() -> bool:
            return signal.getsignal(signal.SIGTERM) is not before

        was_replaced = await cancel_on_signal(work())
        return was_replaced and signal.getsignal(signal.SIGTERM) is before

    with capture_sigterm():
        assert asyncio.run(run())


def test_prefect_may_announce_a_stop() -> None:
    """While work runs, and after it, the process acknowledges why Prefect stops it, so it is not killed."""
    received: list[str] = []

    def acknowledges() -> bool:
        return commit_control_intent_and_ack(
            lambda: received.append("reschedule"), received.clear, lambda: received.append("acknowledged")
        )

    async def work() -> bool:
        return acknowledges()

    with capture_sigterm():
        during = asyncio.run(cancel_on_signal(work()))
        after = acknowledges()

    assert (during, after) == (True, True)
    assert received == ["reschedule", "acknowledged"] * 2


def test_late_work_does_not_start() -> None:
    """Work that comes after the signal, while other work ends, is cancelled before it starts."""
    started: list[str] = []
    ended: list[str] = []

    async def late() -> None:
        started.append("late")

    async def come_late() -> None:
        await terminate()
        await asyncio.sleep(0)
        await cancel_on_signal(late())

    async def run() -> set[type]:
        work = cancel_on_signal(interrupted(ended))
        return set(map(type, await asyncio.gather(work, come_late(), return_exceptions=True)))

    with capture_sigterm():
        errors = asyncio.run(run())

    assert (started, ended) == ([], ["first"])
    assert errors == {asyncio.CancelledError, TerminationSignal}


def test_other_handlers_are_left_alone() -> None:
    """Without Prefect's handler, and in other threads, SIGTERM keeps its handler."""
    before = signal.getsignal(signal.SIGTERM)

    async def work() -> object:
        return signal.getsignal(signal.SIGTERM)

    async def run() -> object:
        return await cancel_on_signal(work())

    found: list[object] = [asyncio.run(run())]
    with capture_sigterm():
        prefects = signal.getsignal(signal.SIGTERM)
        thread = threading.Thread(target=lambda: found.append(asyncio.run(run())))
        thread.start()
        thread.join()

    assert found == [before, prefects]
