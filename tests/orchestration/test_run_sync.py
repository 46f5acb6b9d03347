import asyncio
import contextvars
import signal
import threading

import pytest

from prefect_seedance.orchestration.run_sync import run_sync

_WHO = contextvars.ContextVar("_WHO", default="nobody")


async def awork() -> str:
    """Take two turns of an event loop, and say who asked."""
    await asyncio.sleep(0)
    return _WHO.get()


def test_value_comes_back() -> None:
    """Work sees the caller's context, as Prefect's runs need, and its value is returned."""
    context = contextvars.copy_context()
    context.run(_WHO.set, "somebody")

    assert context.run(run_sync, awork) == "somebody"


def test_error_comes_back() -> None:
    """What the work raises, the caller gets."""

    async def afail() -> None:
        raise LookupError("it is not there")

    with pytest.raises(LookupError, match="it is not there"):
        run_sync(afail)


async def test_event_loop_is_refused() -> None:
    """Code that can await is told what to await, and nothing was begun."""
    with pytest.raises(RuntimeError, match=r"await awork\(\) instead of calling work\(\); nothing was started"):
        run_sync(awork)


def test_interrupted_work_ends_in_good_order() -> None:
    """A signal cancels the work, which may still run_sync what it must, and only then reaches the caller."""
    ended = []

    async def alast_words() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()  # not for a time, which the tests' loop would skip
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            ended.append("recorded")
            raise

    with pytest.raises(KeyboardInterrupt):
        run_sync(alast_words)

    assert ended == ["recorded"]
