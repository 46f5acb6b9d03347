"""Wait for generations to end, with one schedule of polls for the whole process."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.delay_queue import DelayQueue
from prefect_seedance.clips.generation_times import GenerationTimes
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.pending import PendingGeneration, is_final
from prefect_seedance.clips.records import Acceptance, Attempt, Outcome
from prefect_seedance.errors import ArchiveError, DeadlineError, NotFoundError, SeedanceError, may_retry_read
from prefect_seedance.options import Waiting

_CONCURRENT_POLLS = 16
"""Status reads under way at once, however many generations are in flight."""

_SHARE_OF_BUDGET = 0.5
"""Share of the account's requests that polls may use; the rest is for submissions and other programs."""

_MIN_PAUSE_SECONDS = 1.0
"""Least time between two status reads of one generation, however often callbacks or events report its end."""

_MAX_PAUSE_SECONDS = 30.0
"""Longest time between two status reads after repeated errors: no event reports the end of an outage."""

Listener = Callable[[Attempt, Generation], None]
"""Called whenever the state of a generation has changed."""


class Poller:
    """Polls all generations of one event loop. Use as an async context manager.

    A fixed number of coroutines takes due polls from a heap, so only the heap grows with the number of
    generations in flight. The more there are, the longer the time between two polls of each.

    Attributes:
        listeners: Called for every new state of every generation.
    """

    def __init__(self, client: SeedanceClient, *, waiting: Waiting = Waiting()) -> None:
        self.listeners: set[Listener] = set()
        self._client = client
        self._waiting = waiting
        self._pending: set[PendingGeneration] = set()
        self._queue: DelayQueue[PendingGeneration] = DelayQueue()
        self._callbacks_fail = False
        self._times = GenerationTimes()
        self._workers: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._poll_when_due()) for _ in range(_CONCURRENT_POLLS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def wait(
        self, attempt: Attempt, *, ledger: Ledger, deadline: float, has_callback: bool = False
    ) -> Attempt:
        """Wait until the generation has ended, and return the attempt with its recorded outcome.

        Transient errors are retried until the deadline. If the attempt requested a callback, the receiver
        records the outcome: then poll the ledger, and the API only if the callback is overdue.

        Args:
            attempt: One that was accepted.
            ledger: Where the outcome is recorded.
            deadline: By the event loop's clock.
            has_callback: Whether its callback has arrived, so that it is polled at once.

        Raises:
            DeadlineError: The deadline came first; the generation continues.
            SeedanceError: The API refuses to answer; the generation continues.
        """
        if attempt.outcome or not attempt.acceptance:
            return attempt
        pending = self._add(attempt, attempt.acceptance, ledger=ledger, has_callback=has_callback)
        try:
            async with asyncio.timeout_at(deadline):
                found = await pending.ended
        except TimeoutError:
            raise DeadlineError(str(pending)) from None
        finally:
            pending.ended.cancel()
            self._pending.discard(pending)
            self._queue.drop(pending)
        if isinstance(found, Attempt):
            return found
        return await ledger.conclude(attempt, Outcome.of_generation(found, model=attempt.intent.model))

    async def poll_once(self, attempt: Attempt, *, ledger: Ledger) -> Attempt:
        """Return the attempt, with its outcome if it has ended; read its status once at most.

        Raises:
            SeedanceError: The API refuses to answer; the generation continues.
        """
        attempt = await ledger.refreshed(attempt)
        if attempt.outcome or not attempt.acceptance:
            return attempt
        overdue = _age_seconds(attempt.acceptance) - self._first_poll_seconds(attempt)
        if overdue < 0:
            return attempt
        is_settling = overdue < self._waiting.settling_seconds
        try:
            generation = await self._status(attempt)
        except SeedanceError as error:
            if may_retry_read(error) or (isinstance(error, NotFoundError) and is_settling):
                return attempt
            raise
        if not is_final(generation, is_settling=is_settling):
            return attempt
        outcome = Outcome.of_generation(generation, model=attempt.intent.model)
        return await ledger.conclude(attempt, outcome)

    def wake(self, generation_id: str) -> None:
        """Poll a generation at once, because a callback or an event reports its end."""
        now = asyncio.get_running_loop().time()
        for pending in self._pending:
            if pending.attempt.generation_id == generation_id:
                pending.is_woken = True
                self._queue.put(pending, now)

    def _add(
        self, attempt: Attempt, acceptance: Acceptance, *, ledger: Ledger, has_callback: bool
    ) -> PendingGeneration:
        now = asyncio.get_running_loop().time()
        first = 0.0 if has_callback else self._first_poll_seconds(attempt) - _age_seconds(acceptance)
        pending = PendingGeneration(
            attempt=attempt,
            ledger=ledger,
            awaits_callback=attempt.awaits_callback and not has_callback,
            began=now,
            quiet_since=now + first,
            ended=asyncio.get_running_loop().create_future(),
        )
        self._pending.add(pending)
        self._queue.put(pending, now + max(0.0, first))
        return pending

    def _first_poll_seconds(self, attempt: Attempt) -> float:
        if self._waiting.first_poll_seconds is not None:
            return self._waiting.first_poll_seconds
        return self._times.shortest_seconds(attempt)

    async def _poll_when_due(self) -> None:
        """Poll one generation after the other, as one of several workers."""
        while not self._closed:
            pending = await self._queue.next()
            if not pending.ended.done():
                await self._poll(pending)

    async def _poll(self, pending: PendingGeneration) -> None:
        """Find the recorded outcome or read the status; schedule the next poll if it has not ended."""
        was_woken = False
        try:
            if pending.awaits_callback and await self._is_recorded(pending):
                return
            if not self._may_read(pending):
                self._poll_later(pending)
                return
            was_woken, pending.is_woken = pending.is_woken, False
            generation = await self._read(pending)
            self._process(pending, generation, was_woken=was_woken)
        except Exception as error:  # noqa: BLE001 -- retried, or raised by wait()
            if may_retry_read(error) or (isinstance(error, NotFoundError) and self._is_settling(pending)):
                pending.errors += 1
                pending.last_error = str(error)
                pending.is_woken |= was_woken
                self._poll_later(pending)
            elif not pending.ended.done():
                pending.ended.set_exception(error)

    async def _is_recorded(self, pending: PendingGeneration) -> bool:
        """End the wait if the receiver has recorded the outcome."""
        try:
            attempt = await pending.ledger.refreshed(pending.attempt)
        except ArchiveError:
            return False  # the API can answer too
        if attempt.outcome is None:
            return False
        self._callbacks_fail = False
        if attempt.outcome.generation:
            self._notify(pending, attempt.outcome.generation)
        pending.end(attempt)
        return True

    def _may_read(self, pending: PendingGeneration) -> bool:
        """Return whether a status read is due; each counts against the account's request budget."""
        now = asyncio.get_running_loop().time()
        if pending.is_woken:
            return now >= pending.last_read + _MIN_PAUSE_SECONDS
        expects_callback = pending.awaits_callback and not self._callbacks_fail
        grace = self._waiting.callback_grace_seconds if expects_callback else 0.0
        return now >= pending.quiet_since + grace

    async def _read(self, pending: PendingGeneration) -> Generation:
        """Read the status; the pause before the next read begins when this one has ended."""
        clock = asyncio.get_running_loop().time
        pending.last_read = clock()
        try:
            return await self._status(pending.attempt)
        finally:
            pending.last_read = clock()

    async def _status(self, attempt: Attempt) -> Generation:
        intent = attempt.intent
        return await self._client.status(
            attempt.generation_id, model=intent.model, base_url=intent.base_url, retry_seconds=0
        )

    def _notify(self, pending: PendingGeneration, generation: Generation) -> None:
        self._times.observe(pending.attempt, generation)
        if generation.state != pending.state:
            pending.state = generation.state
            for listener in self.listeners:
                listener(pending.attempt, generation)

    def _process(self, pending: PendingGeneration, generation: Generation, *, was_woken: bool) -> None:
        pending.errors = 0
        self._notify(pending, generation)
        has_ended = is_final(generation, is_settling=self._is_settling(pending))
        if pending.awaits_callback and has_ended:
            self._callbacks_fail = not was_woken
        pending.quiet_since = pending.last_read
        if not has_ended:
            self._poll_later(pending)
        else:
            pending.end(generation)

    def _poll_later(self, pending: PendingGeneration) -> None:
        reads_per_second = self._client.requests_per_minute / 60 * _SHARE_OF_BUDGET
        interval = max(self._waiting.poll_every_seconds, len(self._pending) / reads_per_second)
        pause = max(interval, min(interval * 2 ** min(pending.errors, 10), _MAX_PAUSE_SECONDS))
        now = asyncio.get_running_loop().time()
        if pending.is_woken and not pending.errors:
            pause = pending.last_read + _MIN_PAUSE_SECONDS - now
        elif pending.awaits_callback and not self._callbacks_fail:
            pause = max(self._waiting.read_ledger_every_seconds, pause)
        self._queue.put(pending, now + pause)

    def _is_settling(self, pending: PendingGeneration) -> bool:
        return asyncio.get_running_loop().time() - pending.began < self._waiting.settling_seconds


def _age_seconds(acceptance: Acceptance) -> float:
    return max(0.0, (datetime.now(UTC) - acceptance.accepted_at).total_seconds())
