"""Wait for generations to end: one schedule of looks for all of a process."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.delay_queue import DelayQueue
from prefect_seedance.clips.ledger import Acceptance, Attempt, Ledger, Outcome
from prefect_seedance.errors import ArchiveError, DeadlineError, NotFoundError, SeedanceError, may_repeat_read

_LOOKERS = 16
"""Status reads under way at once, however many generations are in flight."""

_SHARE_OF_BUDGET = 0.5
"""Of the account's requests; the rest is for submissions and for others who use the account."""

_LEAST_PAUSE_SECONDS = 1.0
"""Between two status reads of one generation, however often somebody says that it has ended."""

_LONGEST_PAUSE_SECONDS = 30.0
"""After repeated trouble; an outage ends without anyone telling us."""

Watcher = Callable[[Attempt, Generation], None]
"""Is told whenever a generation's state is another than before."""


@dataclass(frozen=True, kw_only=True)
class Polling:
    """How often to look.

    Attributes:
        first_seconds: From acceptance to the first look; by default when the first results can be there.
        every_seconds: From look to look while the request budget is wide.
        settling_seconds: How long a generation may be unknown to the API, or have succeeded without a
            URL, before it is believed.
        callback_seconds: How much longer to leave a generation alone whose callback is awaited; by
            default the slowest result can be there by then, and a callback that nobody took has come
            again. Also the time between looks while callbacks arrive.
        ledger_seconds: How often to see meanwhile whether somebody who was told has recorded its end.
    """

    first_seconds: float | None = None
    every_seconds: float = 2.0
    settling_seconds: float = 60.0
    callback_seconds: float = 60.0
    ledger_seconds: float = 5.0


@dataclass(eq=False)
class _Watch:
    """One generation that is waited for; all times are by the event loop's clock.

    Attributes:
        awaits_callback: Whether somebody else is told when it has ended, and will record it.
        quiet_since: Since when a callback, or another look, may be waited for.
        is_woken: Whether somebody said that it has ended, and nobody has looked since.
    """

    attempt: Attempt
    ledger: Ledger
    awaits_callback: bool
    began: float
    quiet_since: float
    ended: asyncio.Future[Generation | Attempt]
    last_read: float = -math.inf
    is_woken: bool = False
    state: str = ""
    troubles: int = 0
    last_trouble: str = ""


class Poller:
    """Watches over all generations of one event loop. Use as an async context manager.

    A fixed number of coroutines take the looks that are due from a heap, so nothing grows with the
    generations in flight but the heap; and the more there are, the wider apart are their looks.

    Attributes:
        watchers: Are told of every new state of every generation.
    """

    def __init__(self, client: SeedanceClient, *, pace: Polling = Polling()) -> None:
        self.watchers: set[Watcher] = set()
        self._client = client
        self._pace = pace
        self._watches: set[_Watch] = set()
        self._agenda: DelayQueue[_Watch] = DelayQueue()
        self._callbacks_fail = False
        self._shortest: dict[tuple[str, int], float] = {}
        self._lookers: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        self._lookers = [asyncio.create_task(self._look_when_due()) for _ in range(_LOOKERS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for looker in self._lookers:
            looker.cancel()
        await asyncio.gather(*self._lookers, return_exceptions=True)

    async def wait(
        self, attempt: Attempt, *, ledger: Ledger, deadline: float, is_told: bool = False
    ) -> Attempt:
        """Return the attempt with its recorded outcome, once its generation has ended.

        Transient trouble is outlasted until the deadline. Where the API was asked to call back, whoever
        it calls records the outcome: then the ledger is looked at, and the API only if no call comes.

        Args:
            attempt: One that was accepted.
            ledger: Where the outcome is recorded.
            deadline: By the event loop's clock.
            is_told: It is said to have ended: look at once.

        Raises:
            DeadlineError: If the deadline came first; the generation goes on.
            SeedanceError: If the API refuses to tell; the generation goes on.
        """
        if attempt.outcome or not attempt.acceptance:
            return attempt
        watch = self._watch(attempt, attempt.acceptance, ledger=ledger, is_told=is_told)
        try:
            async with asyncio.timeout_at(deadline):
                found = await watch.ended
        except TimeoutError:
            raise DeadlineError(_still_in_flight(watch)) from None
        finally:
            watch.ended.cancel()
            self._watches.discard(watch)
            self._agenda.drop(watch)
        if isinstance(found, Attempt):
            return found
        return await ledger.conclude(attempt, Outcome.of_generation(found, model=attempt.intent.model))

    async def poll_once(self, attempt: Attempt, *, ledger: Ledger) -> Attempt:
        """Return the attempt with its outcome if it has one by now; reads its status once at most.

        Raises:
            SeedanceError: If the API refuses to tell; the generation goes on.
        """
        attempt = await ledger.refreshed(attempt)
        if attempt.outcome or not attempt.acceptance:
            return attempt
        older = _age_seconds(attempt.acceptance) - self._first_look_seconds(attempt)
        if older < 0:
            return attempt
        is_settling = older < self._pace.settling_seconds
        try:
            generation = await self._status(attempt)
        except SeedanceError as error:
            if may_repeat_read(error) or (isinstance(error, NotFoundError) and is_settling):
                return attempt
            raise
        if not _is_final(generation, is_settling=is_settling):
            return attempt
        outcome = Outcome.of_generation(generation, model=attempt.intent.model)
        return await ledger.conclude(attempt, outcome)

    def wake(self, generation_id: str) -> None:
        """Look at a generation at once, because somebody says that it has ended."""
        now = asyncio.get_running_loop().time()
        for watch in self._watches:
            if watch.attempt.generation_id == generation_id:
                watch.is_woken = True
                self._agenda.put(watch, now)

    def _watch(self, attempt: Attempt, acceptance: Acceptance, *, ledger: Ledger, is_told: bool) -> _Watch:
        now = asyncio.get_running_loop().time()
        first = 0.0 if is_told else self._first_look_seconds(attempt) - _age_seconds(acceptance)
        watch = _Watch(
            attempt=attempt,
            ledger=ledger,
            awaits_callback=attempt.awaits_callback and not is_told,
            began=now,
            quiet_since=now + first,
            ended=asyncio.get_running_loop().create_future(),
        )
        self._watches.add(watch)
        self._agenda.put(watch, now + max(0.0, first))
        return watch

    def _first_look_seconds(self, attempt: Attempt) -> float:
        if self._pace.first_seconds is not None:
            return self._pace.first_seconds
        model, duration = attempt.intent.model, attempt.intent.request.input.duration
        expected = CAPABILITIES[model].generation_seconds[duration][0]
        return min(expected, self._shortest.get((model, duration), math.inf))

    def _learn(self, attempt: Attempt, generation: Generation) -> None:
        """Remember the shortest time a generation of this kind took: the next may take no longer."""
        if took := generation.processing_seconds:
            kind = (attempt.intent.model, attempt.intent.request.input.duration)
            self._shortest[kind] = min(took, self._shortest.get(kind, math.inf))

    async def _look_when_due(self) -> None:
        """Take looks one after the other, as one of several that do."""
        while not self._closed:
            watch = await self._agenda.next()
            if not watch.ended.done():
                await self._look(watch)

    async def _look(self, watch: _Watch) -> None:
        """See whether a generation's end is recorded, or read its status; look again later if it has none."""
        was_woken = False
        try:
            if watch.awaits_callback and await self._is_recorded(watch):
                return
            if not self._may_read(watch):
                self._look_later(watch)
                return
            was_woken, watch.is_woken = watch.is_woken, False
            generation = await self._read(watch)
            self._take_in(watch, generation, was_woken=was_woken)
        except Exception as error:  # noqa: BLE001 -- handed on to whoever waits, or outlasted
            if may_repeat_read(error) or (isinstance(error, NotFoundError) and self._is_settling(watch)):
                watch.troubles += 1
                watch.last_trouble = str(error)
                watch.is_woken |= was_woken
                self._look_later(watch)
            elif not watch.ended.done():
                watch.ended.set_exception(error)

    async def _is_recorded(self, watch: _Watch) -> bool:
        """End the watch if somebody who was told has recorded how the generation ended."""
        try:
            attempt = await watch.ledger.refreshed(watch.attempt)
        except ArchiveError:
            return False  # the API can be asked all the same
        if attempt.outcome is None:
            return False
        self._callbacks_fail = False
        if attempt.outcome.generation:
            self._tell(watch, attempt.outcome.generation)
        if not watch.ended.done():
            watch.ended.set_result(attempt)
        return True

    def _may_read(self, watch: _Watch) -> bool:
        """Tell whether it is time to ask the API, which costs of the account's budget."""
        now = asyncio.get_running_loop().time()
        if watch.is_woken:
            return now >= watch.last_read + _LEAST_PAUSE_SECONDS
        quiet = self._pace.callback_seconds if watch.awaits_callback and not self._callbacks_fail else 0.0
        return now >= watch.quiet_since + quiet

    async def _read(self, watch: _Watch) -> Generation:
        """Read a status, so that the next read of it, however early it is asked for, comes after a pause."""
        clock = asyncio.get_running_loop().time
        watch.last_read = clock()
        try:
            return await self._status(watch.attempt)
        finally:
            watch.last_read = clock()

    async def _status(self, attempt: Attempt) -> Generation:
        intent = attempt.intent
        return await self._client.status(
            attempt.generation_id, model=intent.model, base_url=intent.base_url, patience_seconds=0
        )

    def _tell(self, watch: _Watch, generation: Generation) -> None:
        self._learn(watch.attempt, generation)
        if generation.state != watch.state:
            watch.state = generation.state
            for tell in self.watchers:
                tell(watch.attempt, generation)

    def _take_in(self, watch: _Watch, generation: Generation, *, was_woken: bool) -> None:
        watch.troubles = 0
        self._tell(watch, generation)
        is_final = _is_final(generation, is_settling=self._is_settling(watch))
        if watch.awaits_callback and is_final:
            self._callbacks_fail = not was_woken
        watch.quiet_since = watch.last_read
        if not is_final:
            self._look_later(watch)
        elif not watch.ended.done():
            watch.ended.set_result(generation)

    def _look_later(self, watch: _Watch) -> None:
        a_second = self._client.limiter.requests_per_minute / 60 * _SHARE_OF_BUDGET
        interval = max(self._pace.every_seconds, len(self._watches) / a_second)
        pause = max(interval, min(interval * 2 ** min(watch.troubles, 10), _LONGEST_PAUSE_SECONDS))
        now = asyncio.get_running_loop().time()
        if watch.is_woken and not watch.troubles:
            pause = watch.last_read + _LEAST_PAUSE_SECONDS - now
        elif watch.awaits_callback and not self._callbacks_fail:
            pause = max(self._pace.ledger_seconds, pause)
        self._agenda.put(watch, now + pause)

    def _is_settling(self, watch: _Watch) -> bool:
        return asyncio.get_running_loop().time() - watch.began < self._pace.settling_seconds


def _is_final(generation: Generation, *, is_settling: bool) -> bool:
    """Tell whether a state is the last; success without a URL is only believed after a while."""
    lacks_result = generation.state == "success" and not generation.result_urls
    return generation.has_ended and not (lacks_result and is_settling)


def _age_seconds(acceptance: Acceptance) -> float:
    return max(0.0, (datetime.now(UTC) - acceptance.accepted_at).total_seconds())


def _still_in_flight(watch: _Watch) -> str:
    trouble = f"; the last look failed: {watch.last_trouble}" if watch.troubles else ""
    return (
        f"{watch.attempt.intent.name} is still in flight as generation {watch.attempt.generation_id} "
        f"({watch.state or 'not looked at yet'}){trouble}. It goes on and is paid for once: "
        "run the same again to wait on and archive it"
    )
