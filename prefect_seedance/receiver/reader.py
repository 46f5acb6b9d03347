"""Follow hints: read the truth with GET, at a bounded pace, and record it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Poller, Polling
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.clips.submit import this_process
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import ArchiveError, DeadlineError, SeedanceError, may_retry_read
from prefect_seedance.receiver.hints import Hints

_log = logging.getLogger(__name__)

_PACE = Polling(first_seconds=0.0, every_seconds=2.0)
"""A generation that a callback tells of has ended, or somebody lies: then it is not looked at more often than
any other."""

_PATIENCE_SECONDS = 3600.0
"""A hint that has not come true by then is dropped; whoever waits for the clip looks for himself."""

_SETTLING_LOOKS_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)
"""How soon to see whether an attempt's author has recorded the answer that its callback overtook."""

_LEAST_PAUSE_SECONDS = 1.0
"""Between two status reads of one generation."""

_AT_ONCE = 32
"""Hints taken up together at the start."""

_REMEMBERED = 10_000
"""Attempts with which nothing is left to do, so that a repeated callback costs nothing."""

_TRY_AGAIN_SECONDS = 30.0
"""After trouble with the archive or the API."""

Announce = Callable[[Attempt], None]
"""Is told of every attempt whose outcome was recorded."""


class Reader:
    """Follows hints until what they hint at is recorded. Use as an async context manager, in one event loop.

    Args:
        ledger: Where the attempts are.
        hints: Those that were written down; who has none without an outcome has lost none.
        client: The account that pays.
        announce: Is told of every outcome.
    """

    def __init__(self, ledger: Ledger, hints: Hints, *, client: SeedanceClient, announce: Announce) -> None:
        self._ledger = ledger
        self._hints = hints
        self._client = client
        self._announce = announce
        self._resolver = Resolver(ledger=ledger, resolved_by=f"a callback, read by {this_process()}")
        self._waiter = Poller(client, pace=_PACE)
        self._following: dict[AttemptRef, Attempt] = {}
        self._done: OrderedDict[AttemptRef, None] = OrderedDict()
        self._believing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._waiter)
        self._start(self._take_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exits.aclose()

    def knows(self, place: AttemptRef) -> bool:
        """Tell whether a hint at an attempt is already written down, and look again at one under way."""
        if attempt := self._following.get(place):
            self._waiter.wake(attempt.generation_id)
        return attempt is not None or place in self._done

    def follow(self, attempt: Attempt) -> None:
        """Find out what became of an attempt that somebody hinted at, and record it."""
        place = AttemptRef(attempt.intent.fingerprint, attempt.intent.number)
        if place not in self._following:
            self._following[place] = attempt
            self._start(self._follow(place, attempt))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_up(self) -> None:
        """Follow the hints that a receiver before us left open."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def take_up(place: AttemptRef) -> None:
            async with gate:
                if not self.knows(place) and (attempt := await self._ledger.attempt(*place)):
                    self.follow(attempt)

        is_done = False
        while not is_done:
            try:
                await asyncio.gather(*map(take_up, await self._hints.open()))
                is_done = True
            except ArchiveError as error:
                _log.warning("Open callbacks cannot be taken up yet: %s", error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def _follow(self, place: AttemptRef, attempt: Attempt) -> None:
        """Follow one hint, through all trouble that may pass, until it is too old."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PATIENCE_SECONDS
        try:
            while clock() < deadline:
                try:
                    return await self._settle(place, await self._ledger.refreshed(attempt), deadline=deadline)
                except DeadlineError:
                    return None  # somebody lied, or it takes long: another callback is listened to
                except SeedanceError as error:
                    _log.warning("The callback for %s leads nowhere yet: %s", attempt.intent.name, error)
                    if not (may_retry_read(error) or isinstance(error, ArchiveError)):
                        return self._remember(place)
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
        except Exception:  # noqa: BLE001 -- told, and of no consequence for other callbacks
            _log.exception("The callback for %s met an unexpected error", attempt.intent.name)
        finally:
            del self._following[place]

    async def _settle(self, place: AttemptRef, attempt: Attempt, *, deadline: float) -> None:
        attempt = await self._decided(attempt)
        if attempt.outcome is None:
            self._following[place] = attempt
            attempt = await self._waiter.wait(attempt, ledger=self._ledger, deadline=deadline, is_told=True)
            self._announce(attempt)
        self._remember(place)

    def _remember(self, place: AttemptRef) -> None:
        self._done[place] = None
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    async def _decided(self, attempt: Attempt) -> Attempt:
        """Wait for the answer that the callback overtook; if it was lost, take the callback's id for it."""
        looks = iter(_SETTLING_LOOKS_SECONDS)
        while attempt.undecided and (left := attempt.settling_seconds):
            await asyncio.sleep(min(left, next(looks, _SETTLING_LOOKS_SECONDS[-1])))
            attempt = await self._ledger.refreshed(attempt)
        if not attempt.undecided and not is_given_up(attempt):
            return attempt
        async with self._believing:
            told = await self._hints.generation_id(attempt)
            attempt = await self._resolver.believe(attempt, told, client=self._client)
        await asyncio.sleep(_LEAST_PAUSE_SECONDS)
        return await self._ledger.refreshed(attempt)


def is_given_up(attempt: Attempt) -> bool:
    """Tell whether somebody declared lost what may exist after all."""
    return bool(attempt.outcome and attempt.outcome.result is Result.lost)
