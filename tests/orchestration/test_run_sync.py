"""Coroutine functions run from synchronous code."""

import asyncio
import contextvars
import signal
import threading

import pytest

from prefect_seedance.orchestration.run_sync import run_sync

_CALLER = contextvars.ContextVar("_CALLER", default="none")


async def awork() -> str:
    """Return the caller's name, after one turn of the event loop."""
    await asyncio.sleep(0)
    return _CALLER.get()


def test_returns_result() -> None:
    """The work runs in the caller's context, as Prefect's runs require, and its result is returned."""
    context = contextvars.copy_context()
    context.run(_CALLER.set, "a flow")

    assert context.run(run_sync, awork) == "a flow"


def test_raises_error() -> None:
    """An error of the work is raised in the caller."""

    async def afail() -> None:
        raise LookupError("it is not there")

    with pytest.raises(LookupError, match="it is not there"):
        run_sync(afail)


async def test_async_code_must_await() -> None:
    """Async code gets an error that names the method to await, and the work does not start."""
    expected = r"await awork\(\) instead of calling work\(\); nothing was started"

    with pytest.raises(RuntimeError, match=expected):
        run_sync(awork)


def test_signal_cancels_work() -> None:
    """A signal cancels the work, which may still record what it has to, before it reaches the caller."""
    ended = []

    async def arecord() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()  # without a timer, which the tests' loop would skip
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            ended.append("recorded")
            raise

    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background process
    try:
        with pytest.raises(KeyboardInterrupt):
            run_sync(arecord)
    finally:
        signal.signal(signal.SIGINT, former)

    assert ended == ["recorded"]


def test_thread_of_async_code_may_wait() -> None:
    """A thread that async code starts has no event loop, so it may run work and wait."""

    async def call() -> str:
        return await asyncio.to_thread(run_sync, awork)

    assert asyncio.run(call()) == "none"
