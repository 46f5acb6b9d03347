"""Virtual time: several processes, each with clocks of its own, and one scheduler.

A process is an event loop whose callbacks the world runs one at a time. So a test can act between any two of
them: cancel the process's work, kill it, pause it, or set its wall clock. Nothing waits in real time.
Everything outside the processes, such as the API and the bucket, acts through `World.later`.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple, Unpack

import httpx

from tests.simulation.loop import SteppedLoop

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

EPOCH = datetime(2026, 11, 2, tzinfo=UTC)
"""The time of day at which every simulation begins."""

_MAX_STEPS = 200_000
"""What needs more steps than this does not end."""


class World:
    """The true time, all processes, and everything outside them.

    Attributes:
        now: True time in seconds since the simulation began.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: list[Process] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def start(self, name: str, *, ahead_seconds: float = 0.0) -> "Process":
        """Start a process whose wall clock is ahead of the true time."""
        process = Process(self, name, ahead_seconds=ahead_seconds)
        self.processes.append(process)
        return process

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen outside the processes."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act))

    def run(self, until: Callable[[], bool], *, seconds: float = 86_400.0) -> bool:
        """Run until a condition holds, nothing is left to do, or this much time has passed.

        Returns:
            Whether the condition holds.
        """
        latest = self.now + seconds
        for _ in range(_MAX_STEPS):
            if until():
                return True
            if not self._step(latest):
                return until()
        raise AssertionError(f"No end after {_MAX_STEPS} steps and {self.now:.0f} s: something spins")

    def pass_time(self, seconds: float) -> None:
        """Run for this much time."""
        end = self.now + seconds
        self.later(seconds, lambda: None)
        self.run(lambda: self.now >= end)

    def close(self) -> None:
        """End all processes without any effect outside them."""
        for process in self.processes:
            process.bury()

    def _step(self, latest: float) -> bool:
        """Do one thing: something outside, or one callback of a process. Else move on in time."""
        if self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
            return True
        active = [process for process in self.processes if process.is_active]
        for process in active:
            if process.has_callback:
                process.step()
                self.processes.remove(process)
                self.processes.append(process)  # the next turn is another's
                return True
        times = [process.next_time for process in active]
        due = min([self._events[0][0], *times] if self._events else times, default=math.inf)
        if due > latest or due == math.inf:
            return False
        self.now = max(self.now, due)
        for process in active:
            while process.next_time <= self.now and process.time() < (process.next_timer or 0):
                self.now = math.nextafter(self.now, math.inf)  # sums of times are not exact
        return True


class Process(SteppedLoop):
    """One process of the product, as an event loop.

    Attributes:
        ahead_seconds: How far its wall clock is ahead of the true time.
        on_step: Called before each callback.
        log: What it has logged.
        work: Its main task, as `asyncio.run` has one.
        network: Carries its HTTP requests.
    """

    def __init__(self, world: World, name: str, *, ahead_seconds: float) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.ahead_seconds = ahead_seconds
        self.on_step: Callable[[], None] = lambda: None
        self.log: list[str] = []
        self.work: asyncio.Task[Any] | None = None
        self.network: httpx.AsyncBaseTransport | None = None
        self.is_paused = self.was_paused = self.is_dead = False
        self._arrives = True
        self._slept = 0.0
        self._asleep_since: float | None = None

    def __repr__(self) -> str:
        return f"<process {self.name}>"

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as `asyncio.run` does: when it has ended, cancel the tasks that are left."""

        def end(task: "asyncio.Task[Any]") -> None:
            if not task.cancelled():
                task.exception()  # a test reads it from `error`; asyncio logs an exception never retrieved
            self.cancel_tasks()

        self.work = self.create_task(work)
        self.work.add_done_callback(end)

    @property
    def has_ended(self) -> bool:
        """Whether its work is done and no task is left, or it was killed."""
        return self.is_dead or (self.work is not None and self.work.done() and not self.tasks)

    @property
    def is_active(self) -> bool:
        """Whether it runs callbacks."""
        return not self.is_paused and not self.is_dead

    @property
    def error(self) -> BaseException | None:
        """The error with which its work ended."""
        if self.work is None or not self.work.done():
            return None
        return asyncio.CancelledError() if self.work.cancelled() else self.work.exception()

    def cancel(self) -> None:
        """Cancel the work, as Ctrl-C and a caller do."""
        if self.work:
            self.work.cancel()

    def kill(self, *, arrives: bool = True) -> None:
        """Run nothing of it any more.

        Args:
            arrives: Whether its requests under way still arrive.
        """
        self.is_dead, self._arrives = True, arrives

    def pause(self, seconds: float, *, sleeps: bool = False) -> None:
        """Run nothing of it for a while, although time goes on.

        Args:
            seconds: By the true time.
            sleeps: Whether its monotonic clock stands still, as on a suspended computer.
        """
        self.is_paused = self.was_paused = True
        if sleeps:
            self._asleep_since = self.world.now
        self.world.later(seconds, self.resume)

    def resume(self) -> None:
        """End a pause."""
        self.is_paused = False
        if self._asleep_since is not None:
            self._slept += self.world.now - self._asleep_since
            self._asleep_since = None

    def time(self) -> float:
        """Return the monotonic time."""
        awake = self.world.now if self._asleep_since is None else self._asleep_since
        return awake - self._slept

    def time_of_day(self) -> datetime:
        """Return the time by its wall clock."""
        return EPOCH + timedelta(seconds=self.world.now + self.ahead_seconds)

    @property
    def next_time(self) -> float:
        """The true time of its next timer; infinite if there is none."""
        due = self.next_timer
        return math.inf if due is None else due + self._slept

    def step(self) -> None:
        """Run the next callback, unless the test ends or pauses the process before it."""
        self.on_step()
        if self.is_active:
            self.run_callback()

    def bury(self) -> None:
        """Let what is left of it end; it has no effect outside."""
        self.is_dead = True
        for _ in range(_MAX_STEPS):
            if self.has_callback:
                self.run_callback()
            elif self.tasks:
                self.cancel_tasks()
                self.world.now = max(self.world.now, min(self.next_time, self.world.now + 86_400))
            else:
                break
        self.close()

    async def exchange(self, effect: Callable[[], _T], *, arrives: float, answers: float) -> _T:
        """Let something outside act, and wait for the answer.

        It acts whatever becomes of this process meanwhile, unless `kill` prevents it.

        Args:
            effect: What the outside does; it returns the answer, or raises an error as the answer.
            arrives: Seconds until it acts.
            answers: Seconds from then until the answer is here; infinite if there is none.
        """
        if self.is_dead:
            raise asyncio.CancelledError
        answer: asyncio.Future[_T] = self.create_future()

        def act() -> None:
            content: object
            if not self._arrives:
                return
            try:
                content = effect()
            except Exception as error:  # noqa: BLE001 -- this is the answer
                content = error
            if answers < math.inf:
                self.world.later(answers, lambda: self.call_soon(_deliver, answer, content))

        self.world.later(arrives, act)
        return await answer

    def run_in_executor(
        self, _: object, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> "asyncio.Task[_T]":
        """Run a function that other processes do not notice, a moment later."""
        return self.create_task(self.exchange(lambda: func(*args), arrives=0.005, answers=0.005))


def _deliver(answer: "asyncio.Future[Any]", content: object) -> None:
    if answer.done():
        return
    if isinstance(content, Exception):
        answer.set_exception(content)
    else:
        answer.set_result(content)
