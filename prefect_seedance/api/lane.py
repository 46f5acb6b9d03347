"""Pace one kind of request, and slow it down when the API refuses."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Literal

from prefect_seedance.api.pace import Pace
from prefect_seedance.api.turns import Turns
from prefect_seedance.errors import RateLimitedError, SeedanceError

_MAX_DOUBLINGS = 6
_MAX_PAUSE_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 900.0
"""If the API requests a longer pause, one request after this time finds out whether it still refuses."""

_MAX_INTERVAL_SECONDS = 2.0
"""However often the API refuses, the pace does not get slower than this, unless the limit is."""

_RECOVERY = 0.98
"""Factor of the interval after each successful request."""

_Stage = Literal["admission", "request"]


class Lane:
    """The requests of one kind: one refusal slows all of them, and no others.

    A refusal pauses the lane. Consecutive refusals pause it longer. After the pause one request is sent as a
    probe, and the others wait for its answer: a success opens the lane, at half the pace, of which each
    success wins back a fiftieth.

    Args:
        pace: The account's, which all lanes share.
        refusals: The errors after which the lane pauses.
        on_refusal: Called with each of them.

    Attributes:
        refusal: The latest refusal; None once a request has succeeded.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        refusals: tuple[type[SeedanceError], ...] = (RateLimitedError,),
        on_refusal: Callable[[SeedanceError], None] = lambda _: None,
    ) -> None:
        self._pace = pace
        self._on_refusal = on_refusal
        self._refusing = refusals
        self._turns = Turns()
        self._next = self._interval = 0.0
        self.refusal: SeedanceError | None = None
        self._refusals = 0
        self._refused_at = self._paused_until = -math.inf
        self._probes: dict[_Stage, object] = {}
        self._admitted = self._paced = 0

    @asynccontextmanager
    async def admission(self, requests_per_minute: float) -> AsyncIterator[None]:
        """Wait until a request may be sent, and prepare and send it inside.

        The pace is kept here, so that a prepared request does not wait for it. After a refusal, it admits one
        at a time. Requests that were admitted before send theirs first.

        Args:
            requests_per_minute: The sender's limit.
        """
        me = object()
        try:
            await self._wait("admission", me, requests_per_minute)
            with self._admitting():
                yield
        finally:
            self._leave("admission", me)

    @contextmanager
    def _admitting(self) -> Iterator[None]:
        """Let one request inside pass without waiting for the pace again."""
        with self._turns.lock:
            self._admitted += 1
            self._paced += 1
        try:
            yield
        finally:
            with self._turns.lock:
                self._admitted -= 1
                self._paced = min(self._paced, self._admitted)  # it may have sent none

    @asynccontextmanager
    async def request(self, requests_per_minute: float) -> AsyncIterator[None]:
        """Wait until one request may be sent, and learn from the error of the block whether it was refused.

        Args:
            requests_per_minute: The sender's limit.
        """
        me = object()
        try:
            sent_at = await self._wait("request", me, requests_per_minute)
            try:
                yield
            except self._refusing as error:
                interval = self._pace.interval_seconds(requests_per_minute)
                self._refused(error, sent_at=sent_at, interval_seconds=interval)
                self._on_refusal(error)
                raise
            self._succeeded(sent_at=sent_at)
        finally:
            self._leave("request", me)

    async def _wait(self, stage: _Stage, me: object, requests_per_minute: float) -> float:
        """Wait for turn and pace, and return the time at which both are reached."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._turn(stage, me)
            refused_at = self._refused_at
            if stage == "admission" or not self._is_paced():
                if self._interval > self._pace.interval_seconds(requests_per_minute):
                    await self._slow_down()
                await self._pace.wait(requests_per_minute)
            with self._turns.lock:
                # After a refusal meanwhile, queue again, so that its pause does not end in a burst.
                if refused_at == self._refused_at and self._take(stage, me, clock()):
                    return clock()

    def _is_paced(self) -> bool:
        """Return whether a request was admitted that has not been sent; it stands for this one."""
        with self._turns.lock:
            is_paced = self._paced > 0
            self._paced -= is_paced
            return is_paced

    async def _slow_down(self) -> None:
        """Keep the lane's interval, which is longer than the sender's limit requires."""
        clock = asyncio.get_running_loop().time
        with self._turns.lock:
            moment = max(clock(), self._next)
            self._next = moment + self._interval
        while (delay := moment - clock()) > 0:  # noqa: ASYNC110 -- the end is a time, not an event
            await asyncio.sleep(delay)

    async def _turn(self, stage: _Stage, me: object) -> None:
        # A probe may pass when no other can, so it must not queue behind them.
        kind = me if self._probes.get(stage) is me else stage
        await self._turns.take(partial(self._take, stage, me), kind=kind, look_again=self._pause_end)

    def _take(self, stage: _Stage, me: object, now: float) -> bool:
        """Return whether a request may pass; after a refusal, it becomes the only probe."""
        if not self._refusals:
            return True
        return now >= self._paused_until and self._probes.setdefault(stage, me) is me

    @property
    def pause_seconds(self) -> float:
        """How long the current pause still lasts; 0 if there is none."""
        left = self._paused_until - asyncio.get_running_loop().time()
        return max(0.0, left) if self._refusals else 0.0

    def _pause_end(self) -> float | None:
        return self._paused_until if self.pause_seconds else None

    def _leave(self, stage: _Stage, me: object) -> None:
        """If this was the probe, pass that on to the next request."""
        with self._turns.lock:
            if self._probes.get(stage) is me:
                del self._probes[stage]
            self._turns.serve()

    def _refused(self, error: SeedanceError, *, sent_at: float, interval_seconds: float) -> None:
        """Pause the lane, as long as the API requests, or longer with each refusal."""
        now = asyncio.get_running_loop().time()
        asked = error.retry_after_seconds if isinstance(error, RateLimitedError) else None
        requested = min(asked or 0.0, MAX_RETRY_AFTER_SECONDS)
        with self._turns.lock:
            if sent_at <= self._refused_at:  # sent before the last refusal, so it is no new one
                self._paused_until = max(self._paused_until, now + requested)
                return
            growing = min(2.0 ** min(self._refusals, _MAX_DOUBLINGS), _MAX_PAUSE_SECONDS)
            self._refused_at, self._paused_until = now, now + (requested or growing)
            self.refusal = error
            self._refusals += 1
            self._interval = min(2 * max(self._interval, interval_seconds), _MAX_INTERVAL_SECONDS)
            self._next = now  # the requests that wait for their time queue again
            self._turns.wake()

    def _succeeded(self, *, sent_at: float) -> None:
        """Open the lane, unless the request was sent before the last refusal."""
        with self._turns.lock:
            if sent_at <= self._refused_at:
                return
            self._interval *= _RECOVERY
            self.refusal, self._refusals = None, 0
            self._probes.clear()
            self._turns.serve()
