"""Record the outcomes that hints announce, after reading them from the API."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger, or_unreadable
from prefect_seedance.clips.poll import Poller
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.clips.submit import this_process
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import (
    ArchiveError,
    DeadlineError,
    SeedanceError,
    UnreadableRecordError,
    may_retry_read,
)
from prefect_seedance.options import Waiting
from prefect_seedance.printable import get_logger
from prefect_seedance.receiver.hints import Hints

_log = get_logger(__name__)

_WAITING: Final = Waiting(first_poll_seconds=0.0)
"""A generation with a callback has usually ended. If the callback is forged, it is polled no more often than
any other."""

_HINT_SECONDS = 3600.0
"""How long to follow a hint. Then it is dropped; a run that waits for the clip polls by itself."""

_ANSWER_POLLS_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Times between reads of the ledger, if a callback arrives before its submission's answer is recorded."""

_MIN_PAUSE_SECONDS = 1.0
"""Least time between two status reads of one generation."""

_MAX_REMEMBERED = 10_000
"""Finished attempts kept in memory, so that a repeated callback costs nothing."""

_RETRY_SECONDS = 30.0
"""Pause after an error of the archive or the API."""

OnOutcome = Callable[[Attempt], None]
"""Called with every attempt whose outcome is recorded."""


class OutcomeRecorder:
    """Follows each hint until the attempt's outcome is recorded.

    Use as an async context manager, in one event loop.

    Args:
        ledger: Where the attempts are recorded.
        hints: The stored hints; those without an outcome are followed when the recorder starts.
        client: The account that pays.
        on_outcome: Called with every attempt whose outcome is recorded.
    """

    def __init__(
        self, ledger: Ledger, hints: Hints, *, client: SeedanceClient, on_outcome: OnOutcome
    ) -> None:
        self._ledger = ledger
        self._hints = hints
        self._client = client
        self._on_outcome = on_outcome
        self._resolver = Resolver(ledger=ledger, resolved_by=f"a callback, read by {this_process()}")
        self._poller = Poller(client, waiting=_WAITING)
        self._active: dict[AttemptRef, Attempt] = {}
        self._done: OrderedDict[AttemptRef, None] = OrderedDict()
        self._adopting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._poller)
        self._start(self._resume())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exits.aclose()

    def poll_again(self, ref: AttemptRef) -> bool:
        """Poll an attempt at once if its hint is being followed.

        Returns:
            Whether a hint for the attempt is known, so that another one need not be stored.
        """
        if attempt := self._active.get(ref):
            self._poller.wake(attempt.generation_id)
        return attempt is not None or ref in self._done

    def follow(self, attempt: Attempt) -> None:
        """Start to follow the hint for an attempt, unless that has been done."""
        ref = AttemptRef(attempt.intent.fingerprint, attempt.intent.number)
        if ref not in self._active:
            self._active[ref] = attempt
            self._start(self._follow(ref, attempt))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resume(self) -> None:
        """Follow the hints that an earlier process stored and did not finish."""
        gate = asyncio.Semaphore(CONCURRENT_READS)

        async def resume(ref: AttemptRef) -> None:
            async with gate:
                if self.poll_again(ref):
                    return
                attempt = await or_unreadable(self._ledger.attempt, *ref)
                if isinstance(attempt, Attempt):
                    self.follow(attempt)
                elif attempt:
                    _log.error("An earlier callback is not followed: %s", attempt)
                    self._remember(ref)

        is_done = False
        while not is_done:
            try:
                await asyncio.gather(*map(resume, await self._hints.pending()))
                is_done = True
            except ArchiveError as error:
                _log.warning("Could not read the stored callbacks; the receiver tries again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, ref: AttemptRef, attempt: Attempt) -> None:
        """Follow one hint, and retry after transient errors, until it is too old."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + _HINT_SECONDS
        try:
            while clock() < deadline:
                try:
                    return await self._record(ref, await self._ledger.refreshed(attempt), deadline=deadline)
                except DeadlineError:
                    return None  # a forged callback, or a slow generation: another callback starts again
                except SeedanceError as error:
                    _log.warning("The callback for %s has no outcome yet: %s", attempt.intent.name, error)
                    may_pass = may_retry_read(error) or isinstance(error, ArchiveError)
                    if isinstance(error, UnreadableRecordError) or not may_pass:
                        return self._remember(ref)
                    await asyncio.sleep(_RETRY_SECONDS)
        except Exception:  # noqa: BLE001 -- logged, and must not affect other callbacks
            _log.exception("The callback for %s failed unexpectedly", attempt.intent.name)
        finally:
            del self._active[ref]

    async def _record(self, ref: AttemptRef, attempt: Attempt, *, deadline: float) -> None:
        attempt = await self._resolved(attempt)
        if attempt.outcome is None:
            self._active[ref] = attempt
            attempt = await self._poller.wait(
                attempt, ledger=self._ledger, deadline=deadline, has_callback=True
            )
            self._on_outcome(attempt)
        self._remember(ref)

    def _remember(self, ref: AttemptRef) -> None:
        self._done[ref] = None
        if len(self._done) > _MAX_REMEMBERED:
            self._done.popitem(last=False)

    async def _resolved(self, attempt: Attempt) -> Attempt:
        """Wait until the answer to the submission is recorded; if it was lost, adopt the callback's id."""
        pauses, clock = iter(_ANSWER_POLLS_SECONDS), asyncio.get_running_loop().time
        latest = clock() + attempt.settling_seconds  # from now on, whatever the clock of its run says
        while attempt.undecided and (left := latest - clock()) > 0:
            await asyncio.sleep(min(left, next(pauses, _ANSWER_POLLS_SECONDS[-1])))
            attempt = await self._ledger.refreshed(attempt)
        if not attempt.undecided and not is_declared_lost(attempt):
            return attempt
        async with self._adopting:
            generation_id = await self._hints.generation_id(attempt)
            attempt = await self._resolver.adopt_from_callback(attempt, generation_id, client=self._client)
        await asyncio.sleep(_MIN_PAUSE_SECONDS)
        return await self._ledger.refreshed(attempt)


def is_declared_lost(attempt: Attempt) -> bool:
    """Return whether the attempt was declared lost; its generation may exist all the same."""
    return bool(attempt.outcome and attempt.outcome.result is Result.lost)
