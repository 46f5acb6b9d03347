"""Wait for generations to end, with one schedule of polls for the whole process."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prefect_seedance.api import wall_clock
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.delay_queue import DelayQueue
from prefect_seedance.clips.finality import Answer, has_settled_by_record, is_final, outcome_of
from prefect_seedance.clips.generation_times import GenerationTimes
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.pending import PendingGeneration
from prefect_seedance.clips.records import Acceptance, Attempt
from prefect_seedance.errors import ArchiveError, DeadlineError, NoAnswerError, SeedanceError
from prefect_seedance.options import Waiting
from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

_CONCURRENT_POLLS = 16
"""Status reads under way at once, however many generations are in flight."""

_SHARE_OF_BUDGET = 0.75
"""Share of the account's requests that polls may use; the rest is for submissions and other programs."""

_MIN_PAUSE_SECONDS = 1.0
"""Least time between two status reads of one generation, however often callbacks or events report its end."""

_MAX_PAUSE_SECONDS = 30.0
"""Longest time between two status reads after repeated errors: no event reports the end of an outage."""

Listener = Callable[[Attempt, Generation], None]
"""Called whenever the state of a generation has changed. If it raises, the error is logged."""


class Poller:
    """Polls all generations of one event loop. Use as an async context manager.

    A fixed number of coroutines takes due polls from a heap, so only the heap grows with the number of
    generations in flight. The more there are, the longer the time between two polls of each.

    Attributes:
        listeners: Called for every new state of every generation.
        failure: The error of the latest read; None if it succeeded.
    """

    def __init__(self, client: SeedanceClient, *, waiting: Waiting = Waiting()) -> None:
        self.listeners: set[Listener] = set()
        self.failure: SeedanceError | None = None
        self._client = client
        self._waiting = waiting
        self._pending: set[PendingGeneration] = set()
        self._due_soon: set[PendingGeneration] = set()
        """Those that may have ended: only they use up requests."""
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
        for pending in self._pending:
            pending.fail(DeadlineError(str(pending)))
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
            DeadlineError: The deadline came first, or the poller is closed; the generation continues.
            SeedanceError: The API refuses to answer; the generation continues.
        """
        if attempt.outcome or not attempt.acceptance:
            return attempt
        pending = self._add(attempt, attempt.acceptance, ledger=ledger, has_callback=has_callback)
        try:
            await asyncio.wait([pending.ended], timeout=deadline - asyncio.get_running_loop().time())
        finally:
            is_late = pending.ended.cancel()
            self._pending.discard(pending)
            self._due_soon.discard(pending)
            self._queue.drop(pending)
        if is_late:
            raise DeadlineError(str(pending))
        found = pending.ended.result()
        return found if isinstance(found, Attempt) else await ledger.conclude(attempt, found)

    async def poll_once(self, attempt: Attempt, *, ledger: Ledger, deadline: float) -> Attempt:
        """Return the attempt, with its outcome if it has ended; read its status once at most.

        Args:
            attempt: One that was accepted.
            ledger: Where the outcome is recorded.
            deadline: By the event loop's clock: the API may request a pause before the next read.

        Raises:
            SeedanceError: The API refuses to answer; the generation continues.
        """
        attempt = await ledger.refreshed(attempt)
        if attempt.outcome or not attempt.acceptance:
            return attempt
        # A negative age is that of a clock that was ahead: the generation may be old.
        if 0 <= _age_seconds(attempt.acceptance) < self._first_poll_seconds(attempt):
            return attempt
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._answer(attempt)
        except TimeoutError:
            return attempt
        settling_seconds = self._waiting.settling_seconds
        has_settled = has_settled_by_record(answer, attempt, settling_seconds=settling_seconds)
        if not is_final(answer, has_settled=has_settled):
            return attempt
        return await ledger.conclude(attempt, outcome_of(answer, attempt))

    def wake(self, generation_id: str) -> None:
        """Poll a generation at once, because a callback or an event reports its end."""
        now = asyncio.get_running_loop().time()
        for pending in self._pending:
            if pending.attempt.generation_id == generation_id:
                pending.expects_callback = False
                pending.next_read = now
                self._queue.put(pending, max(now, self._due(pending)))

    def _add(
        self, attempt: Attempt, acceptance: Acceptance, *, ledger: Ledger, has_callback: bool
    ) -> PendingGeneration:
        now = asyncio.get_running_loop().time()
        age = max(0.0, _age_seconds(acceptance))
        first = 0.0 if has_callback else self._first_poll_seconds(attempt) - age
        pending = PendingGeneration(
            attempt=attempt,
            ledger=ledger,
            expects_callback=attempt.awaits_callback and not has_callback,
            next_read=now + first,
            ended=asyncio.get_running_loop().create_future(),
        )
        if self._closed:
            pending.fail(DeadlineError(str(pending)))
        self._pending.add(pending)
        self._queue.put(pending, max(now, pending.next_read))
        return pending

    def _first_poll_seconds(self, attempt: Attempt) -> float:
        if self._waiting.first_poll_seconds is not None:
            return self._waiting.first_poll_seconds
        return self._times.shortest_seconds(attempt)

    async def _poll_when_due(self) -> None:
        """Poll one generation after the other, as one of several workers; an error ends only its wait."""
        while not self._closed:
            pending = await self._queue.next()
            try:
                await self._poll(pending)
            except asyncio.CancelledError:
                worker = asyncio.current_task()
                if worker is None or worker.cancelling():
                    raise
                pending.fail(NoAnswerError(f"A poll was cancelled, but {pending}"))
            except Exception as error:  # noqa: BLE001 -- raised by wait()
                pending.fail(error)

    async def _poll(self, pending: PendingGeneration) -> None:
        """Find the recorded outcome or read the status; schedule the next poll if it has not ended."""
        if pending.attempt.awaits_callback and await self._is_recorded(pending):
            return
        clock = asyncio.get_running_loop().time
        if clock() >= self._due(pending):
            await self._read(pending)
        if not pending.ended.done():
            next_poll = self._due(pending)
            if pending.expects_callback:
                pause = max(self._waiting.read_ledger_every_seconds, self._pause_seconds(pending))
                next_poll = min(next_poll, clock() + pause)
            self._queue.put(pending, next_poll)

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

    def _due(self, pending: PendingGeneration) -> float:
        """Return when to read the status; each read counts against the account's request budget."""
        waits = pending.expects_callback and not self._callbacks_fail and not pending.is_doubtful
        grace = self._waiting.callback_grace_seconds if waits else 0.0
        least_pause = min(_MIN_PAUSE_SECONDS, self._waiting.poll_every_seconds)
        return max(pending.next_read + grace, pending.last_read + least_pause)

    async def _read(self, pending: PendingGeneration) -> None:
        """Read the status, and end the wait if the answer is final."""
        clock = asyncio.get_running_loop().time
        sent, pending.last_read, pending.next_read = clock(), math.inf, math.inf
        if not pending.ended.done():
            self._due_soon.add(pending)
        answer = await self._answer(pending.attempt)
        received = pending.last_read = clock()
        lasted = pending.odd_answers.add(answer, sent=sent, received=received)
        self._note(pending, answer)
        # A report of its end that arrived meanwhile has set an earlier time.
        pending.next_read = min(pending.next_read, received + self._pause_seconds(pending))
        if is_final(answer, has_settled=lasted >= self._waiting.settling_seconds):
            if pending.attempt.awaits_callback and isinstance(answer, Generation):
                self._callbacks_fail = pending.expects_callback
            pending.end(outcome_of(answer, pending.attempt))

    async def _answer(self, attempt: Attempt) -> Answer:
        intent = attempt.intent
        try:
            return await self._client.status(
                attempt.generation_id, model=intent.model, base_url=intent.base_url, retry_seconds=0
            )
        except SeedanceError as error:
            return error

    def _note(self, pending: PendingGeneration, answer: Answer) -> None:
        if isinstance(answer, Generation):
            pending.errors, self.failure = 0, None
            self._notify(pending, answer)
        else:
            pending.errors += 1
            self.failure = answer
            pending.last_error = str(answer)

    def _notify(self, pending: PendingGeneration, generation: Generation) -> None:
        self._times.observe(pending.attempt, generation)
        if generation.state == pending.state:
            return
        pending.state = generation.state
        for listener in tuple(self.listeners):
            try:
                listener(pending.attempt, generation)
            except Exception:  # noqa: BLE001 -- no observer may end a wait
                _log.exception("A listener failed for generation %s", generation.generation_id)

    def _pause_seconds(self, pending: PendingGeneration) -> float:
        """Return the time between two reads of the status."""
        client = self._client
        limit = min(client.requests_per_minute, client.account.slots.requests_per_minute)
        reads_per_second = limit / 60 * _SHARE_OF_BUDGET
        interval = max(self._waiting.poll_every_seconds, len(self._due_soon) / reads_per_second)
        return max(interval, min(interval * 2.0 ** min(pending.errors, 10), _MAX_PAUSE_SECONDS))


def _age_seconds(acceptance: Acceptance) -> float:
    """Return the time since the acceptance; negative if it was recorded by a clock that was ahead."""
    return (wall_clock.now() - acceptance.accepted_at).total_seconds()
