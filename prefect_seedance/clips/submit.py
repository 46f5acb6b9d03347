"""Submit a clip at most once, however many runs try and wherever they crash."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import tenacity

from prefect_seedance.api.callback_urls import AttemptRef, Callbacks
from prefect_seedance.api.client import SeedanceClient, Sending
from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result
from prefect_seedance.clips.retry import FREE_RESULTS, failure, permits_retry, refusal_kind
from prefect_seedance.clips.unresolved import resolve_command, unresolved_message, wait_until_resolved
from prefect_seedance.errors import (
    ArchiveError,
    ConnectionFailedError,
    DeadlineError,
    FailKind,
    SeedanceError,
    SubmissionUnresolvedError,
    may_retry_submission,
)
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storyboard.plan import PlannedClip

_CLOCKS_DIFFER_SECONDS = 5.0
"""How far the clocks of two machines may differ before one declares the other's submission unresolved
too early."""

_CLAIMING_SHARE = 0.25
"""How long it may take to record an intent, as a share of the time to send the submission."""

_CANCELLED_SECONDS = 2.0
"""How long a cancelled submission may continue, so that it records the answer that is on its way."""

_RECORDING_TRIES = 30
"""One a second: until it is recorded, the id of an accepted generation exists only in this process."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Submits clips for one production, on one account, into one ledger.

    Attributes:
        production: Name of the production, for people who read the ledger.
        asked_by: The flow run, recorded in the ledger after host and process.
        callbacks: The receiver that the API calls when a generation has ended; None to poll only.
        waits: Whether to wait for the callback if the answer to a submission is lost.
        continued_by: As in `Intent`.
    """

    client: SeedanceClient
    ledger: Ledger
    production: str
    asked_by: str = ""
    policy: RetryPolicy = RetryPolicy()
    callbacks: Callbacks | None = None
    waits: bool = True
    continued_by: tuple[str, ...] = ()

    async def submit(
        self, clip: PlannedClip, *, compose: Callable[[], Awaitable[GenerateRequest]], deadline: float
    ) -> Attempt:
        """Return the clip's accepted attempt; submit one only if no paid generation can exist.

        The intent is recorded before anything is sent. If another process is submitting the same clip,
        wait for its answer. If the answer to a submission was lost and a callback is expected, wait for
        the callback.

        Args:
            clip: The clip to submit.
            compose: Returns the request; called for each new attempt.
            deadline: By the event loop's clock; nothing is submitted after it.

        Raises:
            SubmissionUnresolvedError: It is unknown whether the API accepted a submission.
            GenerationFailedError: The last attempt failed, and the policy permits no other.
            ContentRejectedError: The content of the last attempt was rejected, and the policy permits no
                other.
            DeadlineError: The deadline came first; nothing was spent.
            SeedanceError: The API refuses; nothing was spent.
        """
        ended: int | None = None
        unresolved: SubmissionUnresolvedError | None = None
        while asyncio.get_running_loop().time() < deadline:
            attempts = await self.ledger.attempts(clip.fingerprint)
            ended = sum(attempt.outcome is not None for attempt in attempts) if ended is None else ended
            last = attempts[-1] if attempts else None
            if last is None or self._may_follow(last, is_new=last.intent.number > ended):
                request, number = await compose(), last.intent.number + 1 if last else 1
                try:
                    if attempt := await self._submit_attempt(clip, request, number=number, deadline=deadline):
                        return attempt
                except SubmissionUnresolvedError as error:
                    if not self._expects_callback or isinstance(error.__cause__, ArchiveError):
                        raise  # a message with the id of an accepted generation must reach the author
                    unresolved = error
            elif not last.undecided:
                return _with_video(last)
            else:
                await self._wait_until_resolved(last, deadline=deadline, unresolved=unresolved)
        raise unresolved or DeadlineError(
            f"{clip.name} was not submitted before the deadline and cost nothing; run again to continue"
        )

    def _may_follow(self, last: Attempt, *, is_new: bool) -> bool:
        """Return whether to begin another attempt; after one that is new in this run, only a free one."""
        if last.outcome is None or (is_new and last.outcome.result not in FREE_RESULTS):
            return False
        return permits_retry(self.policy, last.outcome)

    @property
    def _expects_callback(self) -> bool:
        return self.callbacks is not None and self.waits

    async def _wait_until_resolved(
        self, last: Attempt, *, deadline: float, unresolved: SubmissionUnresolvedError | None
    ) -> None:
        """Wait for the answer to a submission; if there is none, raise or declare it lost.

        Args:
            last: The attempt without an answer.
            deadline: By the event loop's clock.
            unresolved: The error to raise, if this run submitted the attempt itself.
        """
        try:
            await wait_until_resolved(
                self.ledger, last, deadline=deadline, expect_callback=self._expects_callback
            )
        except DeadlineError as error:
            raise unresolved or error from None
        except SubmissionUnresolvedError as error:
            if self.policy.on_unresolved != "resubmit":
                raise unresolved or error from None
            await self.ledger.conclude(last, Outcome.of_loss(resolved_by=self._run))

    def _intent(self, clip: PlannedClip, request: GenerateRequest, *, number: int) -> Intent:
        now = datetime.now(UTC)
        patience = timedelta(seconds=self._sending_seconds + self.client.submission_seconds * _CLAIMING_SHARE)
        if self.callbacks:
            changes = {"request_type": "callback", "callback_url": self.callbacks.base}
            request = request.model_copy(update=changes)
        return Intent(
            fingerprint=clip.fingerprint,
            number=number,
            name=clip.name,
            production=self.production,
            model=self.client.model,
            base_url=self.client.base_url,
            request=request,
            asked_by=self._run,
            asked_at=now,
            settles_by=now + patience,
            continued_by=self.continued_by,
        )

    @property
    def _sending_seconds(self) -> float:
        """How long after it begins to send this process may record an answer, by any machine's clock."""
        return self.client.submission_seconds + _CLOCKS_DIFFER_SECONDS

    @property
    def _run(self) -> str:
        return describe_run(self.asked_by)

    async def _submit_attempt(
        self, clip: PlannedClip, request: GenerateRequest, *, number: int, deadline: float
    ) -> Attempt | None:
        """Claim the attempt and send it; return None if the caller has to read the ledger again first."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    await stack.enter_async_context(self.client.admission())
            except TimeoutError:
                return None
            sending = Sending()
            claimed = self._claim(self._intent(clip, request, number=number), sending)
            return await _finish_if_sent(claimed, sending)

    async def _claim(self, intent: Intent, sending: Sending) -> Attempt | None:
        """Claim and send; if cancelled before anything was sent, record that nothing was started."""
        claiming = asyncio.ensure_future(self.ledger.claim(intent))
        try:
            attempt = await asyncio.shield(claiming)
            if attempt is None:
                return None
            if attempt.settling_seconds < self._sending_seconds:
                # Another run might declare the claim lost while it is being sent, and pay again.
                await self._not_sent(attempt, "recording the intent took too long")
                return None
            return await self._send(attempt, sending)
        except asyncio.CancelledError:
            if (attempt := await claiming) and not sending.may_have_started:
                await self._not_sent(attempt, "the run was stopped")
            raise

    async def _not_sent(self, attempt: Attempt, reason: str) -> None:
        error = ConnectionFailedError(f"Nothing was sent: {reason}")
        await self.ledger.conclude(attempt, Outcome.of_refusal(error, kind=FailKind.transient))

    def _with_callback_url(self, intent: Intent) -> GenerateRequest:
        """Return the request with the attempt's token, which is only sent to the API."""
        if self.callbacks is None:
            return intent.request
        url = self.callbacks.url(AttemptRef(intent.fingerprint, intent.number))
        return intent.request.model_copy(update={"callback_url": url})

    async def _send(self, attempt: Attempt, sending: Sending) -> Attempt | None:
        try:
            generation_id = await self.client.submit(self._with_callback_url(attempt.intent), sending=sending)
        except SeedanceError as error:
            if not error.outcome_known:
                message = f"{unresolved_message(self.ledger, attempt.intent)} ({error})"
                raise SubmissionUnresolvedError(message) from error
            await self.ledger.conclude(attempt, Outcome.of_refusal(error, kind=refusal_kind(error)))
            if may_retry_submission(error):
                return None
            raise
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ArchiveError),
            wait=tenacity.wait_fixed(1),
            stop=tenacity.stop_after_attempt(_RECORDING_TRIES),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            return await tries(self.ledger.accept, attempt, generation_id)
        except ArchiveError as error:
            raise SubmissionUnresolvedError(
                f"The API accepted {attempt.intent.name} as generation {generation_id}, but the id could not "
                f"be recorded: {error}. As soon as the archive is writable, run: "
                f"{resolve_command(self.ledger, attempt.intent)} --adopt {generation_id}"
            ) from error


def this_process() -> str:
    """Return host and process id, for people who read the ledger on another machine."""
    return f"{socket.gethostname()} process {os.getpid()}"


def describe_run(asked_by: str = "") -> str:
    """Return host, process id and, within Prefect, the flow run, as `Intent.asked_by` records them."""
    return f"{this_process()}{asked_by and ', '}{asked_by}"


async def _finish_if_sent(work: Coroutine[None, None, _T], sending: Sending) -> _T:
    """Await a submission; if cancelled, give it time to record the answer that may be on its way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if sending.may_have_started:
            await asyncio.wait({task}, timeout=_CANCELLED_SECONDS)
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCELLED_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # the cancellation matters more; asyncio logs an exception never retrieved
        raise


def _with_video(last: Attempt) -> Attempt:
    """Return an attempt that has or may get a video, or raise the reason why it has none."""
    outcome = last.outcome
    if outcome is None or outcome.result is Result.success:
        return last
    raise failure(last.intent.name, outcome)
