"""Stop a command at a signal, so that paid submissions are recorded."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.printing import terminal
from prefect_seedance.cli.progress import Screen

_T = TypeVar("_T")


class Stop:
    """Cancels work at the first signal, and quits at the second.

    The handlers are plain ones: those of an event loop travel through the pipe that also wakes it, and are
    lost when a thousand clips have filled that.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[Any] | None = asyncio.current_task()
        self._is_stopping = False

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle signals, whatever handled them before."""
        former = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work, which signals cancel from now on."""
        task = asyncio.create_task(work)
        self._work = task
        with self.handling():
            return await task

    def _handle(self, *_: object) -> None:
        if self._is_stopping:
            terminal(error=True).show_cursor()
            os._exit(ExitCode.interrupted)
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._screen.note("Stopping … press Ctrl-C again to quit now")
        if self._work:
            self._work.cancel()


@contextmanager
def interruptible() -> Iterator[None]:
    """Stop at a signal even if the interrupted code swallows the exception, as an import may."""
    is_interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal is_interrupted
        is_interrupted = True
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if is_interrupted:
        raise KeyboardInterrupt
