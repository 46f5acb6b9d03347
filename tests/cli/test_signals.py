"""Signals that stop a command."""

import asyncio
import contextlib
import io
import signal

import pytest

from prefect_seedance.cli.progress import Lines
from prefect_seedance.cli.signals import Stop, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_signal_cancels_work(number: signal.Signals) -> None:
    """The first signal cancels the work, which may still record what it has to."""
    former, screen = signal.getsignal(number), io.StringIO()
    recorded = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            recorded.append("manifest")

    with pytest.raises(asyncio.CancelledError):
        await Stop(Lines(screen)).run(work())

    assert recorded == ["manifest"]
    assert screen.getvalue() == "Stopping … press Ctrl-C again to quit now\n"
    assert signal.getsignal(number) is former


async def test_handlers_are_restored() -> None:
    """After the work the former handlers are back, and the result is returned."""
    former = signal.getsignal(signal.SIGTERM)

    async def work() -> int:
        assert signal.getsignal(signal.SIGTERM) is not former
        return 7

    assert await Stop(Lines(io.StringIO())).run(work()) == 7
    assert signal.getsignal(signal.SIGTERM) is former


def test_swallowed_interrupt_counts() -> None:
    """A signal stops the command even if the interrupted code swallows the exception."""
    former = signal.getsignal(signal.SIGINT)

    def swallow() -> None:
        with interruptible(), contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        swallow()

    assert signal.getsignal(signal.SIGINT) is former
