"""Buy one generation: claim the attempt, send the request, record the answer."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.permit import Permit
from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome
from prefect_seedance.clips.retry import refusal_kind
from prefect_seedance.clips.supervision import supervise
from prefect_seedance.clips.unresolved import resolving, unresolved_message
from prefect_seedance.doors import decision
from prefect_seedance.errors import (
    ArchiveError,
    NotSentError,
    SeedanceError,
    SubmissionUnresolvedError,
    may_retry_submission,
)
from prefect_seedance.printable import get_logger
from prefect_seedance.telemetry import BILLED

_WRITE_SECONDS = 10.0
"""Bound of one write or read: a store that does not answer must not use up the time for all tries."""

_log = get_logger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """One attempt to buy a generation.

    Attributes:
        request: The request to send: as in the intent, with the callback's token and the images' signatures.
    """

    client: SeedanceClient
    ledger: Ledger
    intent: Intent
    request: GenerateRequest

    async def make(self, permit: Permit) -> Attempt | None:
        """Return the accepted attempt, or None if nothing was started and another attempt may follow.

        If cancelled, revoke the permit. If the request may have been sent, wait for its answer and record it:
        only time ends that, however often the caller is cancelled.

        Raises:
            SubmissionUnresolvedError: If it is unknown whether the API accepted the request, or if
                its id could not be recorded.
            SeedanceError: If the API refuses, or the archive cannot be written; nothing was started.
        """
        return await supervise(self._make(permit), on_cancel=permit.revoke)

    async def _make(self, permit: Permit) -> Attempt | None:
        attempt = await self._claim()
        if attempt is None:
            return None
        try:
            generation_id = await self.client.submit(self.request, model=self.intent.model, permit=permit)
        except SeedanceError as error:
            if not error.outcome_known:
                self._count(outcome="unresolved")
                raise SubmissionUnresolvedError(await self._lost(attempt, error)) from error
            await self._until_written(functools.partial(self._conclude, error))
            if may_retry_submission(error) or isinstance(error, NotSentError):
                return None
            raise
        try:
            return await self._record(attempt, generation_id)
        finally:
            self._count(outcome="submitted")

    def _count(self, *, outcome: str) -> None:
        """Count the seconds of video that are billed, or may be if the outcome is unresolved."""
        BILLED.record(self.intent.request.input.duration, model=self.intent.model, outcome=outcome)

    async def _claim(self) -> Attempt | None:
        """Record the intent; return None if another run was first.

        It may outlast the permit, which is checked before anything is sent.
        """
        seconds = self.client.timeout_seconds + _WRITE_SECONDS
        try:
            return await _bounded(self.ledger.claim(self.intent), seconds=seconds)
        except ArchiveError as error:
            failed = ArchiveError(
                f"{self.intent.name} was not submitted and cost nothing, because its intent could not be "
                f"recorded: {error}. Run again when the archive is writable"
            )
            with suppress(ArchiveError):
                if await _bounded(self.ledger.is_claimed_by(self.intent)):
                    await _bounded(self._conclude(failed))  # or it would seem unresolved
            raise failed from None

    async def _conclude(self, error: SeedanceError) -> Attempt:
        """Record that nothing was started."""
        outcome = Outcome.of_refusal(error, kind=refusal_kind(error))
        return await self.ledger.conclude(Attempt(intent=self.intent), outcome)

    async def _lost(self, attempt: Attempt, error: SeedanceError) -> str:
        """Record that no answer will follow, if the archive can be written, and return a message about it."""
        with suppress(ArchiveError):
            attempt = await _bounded(self.ledger.note_lost_answer(attempt, str(error)))
        return f"{unresolved_message(self.ledger, attempt)} ({error})"

    async def _record(self, attempt: Attempt, generation_id: str) -> Attempt:
        """Record the answer; the log has the id as soon as the first try fails."""
        name = self.intent.name

        def log(state: tenacity.RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome:
                _log.error(
                    "The API accepted %s as generation %s, but the id cannot be recorded yet: %s",
                    *(name, generation_id, state.outcome.exception()),
                )

        try:
            accept = functools.partial(self.ledger.accept, attempt, generation_id)
            return await self._until_written(accept, log=log)
        except ArchiveError as error:
            raise SubmissionUnresolvedError(
                f"The API accepted {name} as generation {generation_id}, but the id could not be recorded: "
                f"{error}. As soon as the archive is writable, {resolving(self.ledger, self.intent)} "
                f"{decision('adopt', generation_id)}"
            ) from error

    async def _until_written(
        self,
        write: Callable[[], Awaitable[Attempt]],
        *,
        log: Callable[[tenacity.RetryCallState], None] | None = None,
    ) -> Attempt:
        """Try to write a record once a second, for as long as a request may take.

        Until an answer is recorded, its id exists only in this process and its log.
        """
        clock = asyncio.get_running_loop().time
        latest = clock() + self.client.timeout_seconds

        async def attempt() -> Attempt:
            return await _bounded(write())

        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ArchiveError),
            wait=tenacity.wait_fixed(1),
            stop=lambda _: clock() >= latest,
            before_sleep=log,
            sleep=asyncio.sleep,
            reraise=True,
        )
        return await tries(attempt)


async def _bounded(work: Awaitable[_T], *, seconds: float = _WRITE_SECONDS) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise ArchiveError(f"the archive did not answer within {seconds:.0f} s") from None
