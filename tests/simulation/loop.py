"""An event loop whose callbacks are run one at a time, at times that its owner chooses."""

import asyncio
import contextvars
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVarTuple, Unpack

_Ts = TypeVarTuple("_Ts")


class SteppedLoop(asyncio.BaseEventLoop):
    """An event loop without a selector and without waiting.

    Attributes:
        steps: Callbacks that it has run.
        tasks: Those that have not ended.
        unhandled: Errors that reached its exception handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.unhandled: list[str] = []
        self._callbacks: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._thread = threading.current_thread()
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda _, context: self.unhandled.append(str(context)))

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._callbacks.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback later, for a caller in the same thread: others would make the steps random."""
        if threading.current_thread() is not self._thread:
            raise RuntimeError("A thread called back")
        return self.call_soon(callback, *args, context=context)

    @property
    def has_callback(self) -> bool:
        """Whether a callback is to be run now."""
        while self._timers and self._timers[0][0] <= self.time():
            self._callbacks.append(heapq.heappop(self._timers)[2])
        while self._callbacks and self._callbacks[0].cancelled():
            self._callbacks.popleft()
        return bool(self._callbacks)

    @property
    def next_timer(self) -> float | None:
        """The time of the next timer, by this loop's clock."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run_callback(self) -> None:
        """Run the next callback."""
        self.steps += 1
        asyncio._set_running_loop(self)
        try:
            self._callbacks.popleft()._run()
        finally:
            asyncio._set_running_loop(None)

    def cancel_tasks(self) -> None:
        """Cancel all tasks, the oldest first."""
        for task in sorted(self.tasks, key=lambda task: (len(task.get_name()), task.get_name())):
            task.cancel()

    def _new_task(
        self,
        _: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,  # noqa: ANN401 -- more in each version of Python
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self, **options)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task
