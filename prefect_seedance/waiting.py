"""Wait for generations to end: one schedule of looks for all of a process."""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prefect_seedance.client import SeedanceClient
from prefect_seedance.errors import DeadlineError, NotFoundError, may_repeat_read
from prefect_seedance.ledger import Acceptance, Attempt, Ledger, Outcome
from prefect_seedance.models import CAPABILITIES, Generation

_LOOKERS = 16
"""Status reads under way at once, however many generations are in flight."""

_SHARE_OF_BUDGET = 0.5
"""Of the account's requests; the rest is for submissions and for others who use the account."""

_LONGEST_PAUSE_SECONDS = 30.0
"""After repeated trouble; an outage ends without anyone telling us."""

Watcher = Callable[[Attempt, Generation], None]
"""Is told whenever a generation's state is another than before."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look.

    Attributes:
        first_seconds: From acceptance to the first look; by default when the first results can be there.
        every_seconds: From look to look while the request budget is wide.
        settling_seconds: How long a generation may be unknown to the API, or have succeeded without a
            URL, before it is believed.
    """

    first_seconds: float | None = None
    every_seconds: float = 2.0
    settling_seconds: float = 60.0


@dataclass(order=True)
class _Watch:
    """One generation that is waited for, in the order in which it is looked at."""

    due: float
    order: int
    attempt: Attempt = field(compare=False)
    generation_id: str = field(compare=False)
    began: float = field(compare=False)
    ended: asyncio.Future[Generation] = field(compare=False)
    state: str = field(default="", compare=False)
    troubles: int = field(default=0, compare=False)
    last_trouble: str = field(default="", compare=False)


class Waiter:
    """Watches over all generations of one event loop. Use as an async context manager.

    A fixed number of coroutines take the looks that are due from a heap, so nothing grows with the
    generations in flight but the heap; and the more there are, the wider apart are their looks.

    Attributes:
        watchers: Are told of every new state of every generation.
    """

    def __init__(self, client: SeedanceClient, *, pace: Pace = Pace()) -> None:
        self.watchers: set[Watcher] = set()
        self._client = client
        self._pace = pace
        self._watches: list[_Watch] = []
        self._in_flight = 0
        self._order = itertools.count()
        self._something_earlier = asyncio.Event()
        self._turn = asyncio.Lock()
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

    async def wait(self, attempt: Attempt, *, ledger: Ledger, deadline: float) -> Attempt:
        """Return the attempt with its recorded outcome, once its generation has ended.

        Transient trouble is outlasted until the deadline.

        Args:
            attempt: One that was accepted.
            ledger: Where the outcome is recorded.
            deadline: By the event loop's clock.

        Raises:
            DeadlineError: If the deadline came first; the generation goes on.
            SeedanceError: If the API refuses to tell; the generation goes on.
        """
        if attempt.outcome or not attempt.acceptance:
            return attempt
        watch = self._watch(attempt, attempt.acceptance)
        self._in_flight += 1
        try:
            async with asyncio.timeout_at(deadline):
                generation = await watch.ended
        except TimeoutError:
            raise DeadlineError(_still_in_flight(watch)) from None
        finally:
            watch.ended.cancel()
            self._in_flight -= 1
        self._learn(attempt, generation)
        return await ledger.conclude(attempt, Outcome.of_generation(generation, model=attempt.intent.model))

    def _watch(self, attempt: Attempt, acceptance: Acceptance) -> _Watch:
        now = asyncio.get_running_loop().time()
        age = (datetime.now(UTC) - acceptance.accepted_at).total_seconds()
        watch = _Watch(
            due=now + max(0.0, self._first_look_seconds(attempt) - max(0.0, age)),
            order=next(self._order),
            attempt=attempt,
            generation_id=acceptance.generation_id,
            began=now,
            ended=asyncio.get_running_loop().create_future(),
        )
        self._schedule(watch)
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

    def _schedule(self, watch: _Watch) -> None:
        heapq.heappush(self._watches, watch)
        if self._watches[0] is watch:
            self._something_earlier.set()

    async def _look_when_due(self) -> None:
        """Take looks one after the other, as one of several that do."""
        while not self._closed:
            async with self._turn:
                watch = await self._next_due()
            if not watch.ended.done():
                await self._look(watch)

    async def _next_due(self) -> _Watch:
        clock = asyncio.get_running_loop().time
        while not self._watches or self._watches[0].due > clock():
            self._something_earlier.clear()
            due = self._watches[0].due if self._watches else None
            try:
                async with asyncio.timeout_at(due):
                    await self._something_earlier.wait()
            except TimeoutError:
                pass
        return heapq.heappop(self._watches)

    async def _look(self, watch: _Watch) -> None:
        """Read one status, and end the watch or look again later."""
        intent = watch.attempt.intent
        try:
            generation = await self._client.status(
                watch.generation_id, model=intent.model, base_url=intent.base_url, patience_seconds=0
            )
            self._take_in(watch, generation)
        except Exception as error:  # noqa: BLE001 -- handed on to whoever waits, or outlasted
            if may_repeat_read(error) or (isinstance(error, NotFoundError) and self._is_settling(watch)):
                watch.troubles += 1
                watch.last_trouble = str(error)
                self._look_later(watch)
            elif not watch.ended.done():
                watch.ended.set_exception(error)

    def _take_in(self, watch: _Watch, generation: Generation) -> None:
        watch.troubles = 0
        if generation.state != watch.state:
            watch.state = generation.state
            for tell in self.watchers:
                tell(watch.attempt, generation)
        lacks_result = generation.state == "success" and not generation.result_urls
        if not generation.has_ended or (lacks_result and self._is_settling(watch)):
            self._look_later(watch)
        elif not watch.ended.done():
            watch.ended.set_result(generation)

    def _look_later(self, watch: _Watch) -> None:
        a_second = self._client.limiter.requests_per_minute / 60 * _SHARE_OF_BUDGET
        interval = max(self._pace.every_seconds, self._in_flight / a_second)
        pause = max(interval, min(interval * 2 ** min(watch.troubles, 10), _LONGEST_PAUSE_SECONDS))
        watch.due = asyncio.get_running_loop().time() + pause
        self._schedule(watch)

    def _is_settling(self, watch: _Watch) -> bool:
        return asyncio.get_running_loop().time() - watch.began < self._pace.settling_seconds


def _still_in_flight(watch: _Watch) -> str:
    trouble = f"; the last look failed: {watch.last_trouble}" if watch.troubles else ""
    return (
        f"{watch.attempt.intent.name} is still in flight as generation {watch.generation_id} "
        f"({watch.state or 'not looked at yet'}){trouble}. It goes on and is paid for once: "
        "run the same again to wait on and archive it"
    )
