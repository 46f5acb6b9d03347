"""Ask for a clip at most once, however many runs try and wherever they die."""

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
from prefect_seedance.clips.ledger import Attempt, Intent, Ledger, Outcome, Result
from prefect_seedance.clips.unresolved import resolve_command, settled, unresolved_message
from prefect_seedance.errors import (
    ArchiveError,
    ConnectionFailedError,
    ContentRejectedError,
    DeadlineError,
    FailKind,
    GenerationFailedError,
    InsufficientFundsError,
    InvalidRequestError,
    SeedanceError,
    SubmissionUnresolvedError,
    may_repeat_submission,
)
from prefect_seedance.storyboard.plan import PlannedClip

_CLOCKS_DIFFER_SECONDS = 5.0
"""By how much the clocks of two machines may differ without one giving up on the other too early."""

_CLAIMING_SHARE = 0.25
"""How long recording an intent may take, as a share of what sending it may take."""

_LAST_WORDS_SECONDS = 2.0
"""How long a cancelled submission may take to record the answer that is on its way."""

_RECORDING_TRIES = 30
"""Once a second: what was accepted exists nowhere else until it is recorded."""

_FREE = {Result.not_started, Result.lost}
"""After these another attempt needs no further leave: nothing was bought, or somebody has given it."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Which clips that failed may be paid for again, once a run.

    A submission that started nothing is always tried again by the next run: it cost nothing.

    Attributes:
        retry_failed: Those whose failure was no verdict on their content.
        retry_rejected: Those whose content was rejected; moderation is not deterministic.
        resubmit_unresolved: Those whose submission nobody knows the end of; they may be paid for twice.
    """

    retry_failed: bool = False
    retry_rejected: bool = False
    resubmit_unresolved: bool = False

    def permits_after(self, outcome: Outcome) -> bool:
        """Tell whether another attempt may follow one that ended like this."""
        if outcome.result is Result.success:
            return False
        if outcome.kind is FailKind.content:
            return self.retry_rejected
        return outcome.result in _FREE or self.retry_failed


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Submits clips for one production, on one account, into one ledger.

    Attributes:
        production: For whom, so that people who read the ledger know.
        asked_by: Whoever asks, besides host and process.
        callbacks: Where the API shall tell that a generation has ended, if it shall.
        waits: Whether to wait for a callback that tells what became of a submission.
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
        """Return the clip's accepted attempt, beginning one only if none may exist.

        The intent is recorded before anything is sent. Where another process is about to submit the
        same clip, its answer is waited for. So is the callback that tells what became of a submission
        whose answer was lost.

        Args:
            clip: What shall exist.
            compose: Returns what to send; called anew for each attempt that is begun.
            deadline: By the event loop's clock; nothing is submitted after it.

        Raises:
            SubmissionUnresolvedError: If nobody knows whether a submission was accepted.
            GenerationFailedError: If the last attempt failed and the policy permits no other.
            ContentRejectedError: Likewise, because of its content.
            DeadlineError: If the deadline came first; nothing was spent.
            SeedanceError: If the API refuses; nothing was spent.
        """
        over: int | None = None
        unresolved: SubmissionUnresolvedError | None = None
        while asyncio.get_running_loop().time() < deadline:
            attempts = await self.ledger.attempts(clip.fingerprint)
            over = sum(attempt.outcome is not None for attempt in attempts) if over is None else over
            last = attempts[-1] if attempts else None
            if last is None or self._may_follow(last, is_new=last.intent.number > over):
                request, number = await compose(), last.intent.number + 1 if last else 1
                try:
                    if attempt := await self._ask(clip, request, number=number, deadline=deadline):
                        return attempt
                except SubmissionUnresolvedError as error:
                    if not self._is_told or isinstance(error.__cause__, ArchiveError):
                        raise  # what names the id of an accepted generation must be said
                    unresolved = error
            elif not last.undecided:
                return _usable(last)
            else:
                await self._decided(last, deadline=deadline, unresolved=unresolved)
        raise unresolved or DeadlineError(
            f"{clip.name} was not submitted before the deadline and cost nothing; run again to continue"
        )

    def _may_follow(self, last: Attempt, *, is_new: bool) -> bool:
        """Tell whether another attempt may begin; after a new one, only if that needs no leave."""
        if last.outcome is None or (is_new and last.outcome.result not in _FREE):
            return False
        return self.policy.permits_after(last.outcome)

    @property
    def _is_told(self) -> bool:
        return self.callbacks is not None and self.waits

    async def _decided(
        self, last: Attempt, *, deadline: float, unresolved: SubmissionUnresolvedError | None
    ) -> None:
        """Wait for a submission to be decided, and judge it if it never was; our own is ``unresolved``."""
        try:
            await settled(self.ledger, last, deadline=deadline, is_told=self._is_told)
        except DeadlineError as error:
            raise unresolved or error from None
        except SubmissionUnresolvedError as error:
            if not self.policy.resubmit_unresolved:
                raise unresolved or error from None
            await self.ledger.conclude(last, Outcome.of_loss(resolved_by=self._author))

    def _intent(self, clip: PlannedClip, request: GenerateRequest, *, number: int) -> Intent:
        now = datetime.now(UTC)
        patience = timedelta(seconds=self._sending_seconds + self.client.submission_seconds * _CLAIMING_SHARE)
        if self.callbacks:
            told = {"request_type": "callback", "callback_url": self.callbacks.base}
            request = request.model_copy(update=told)
        return Intent(
            fingerprint=clip.fingerprint,
            number=number,
            name=clip.name,
            production=self.production,
            model=self.client.model,
            base_url=self.client.base_url,
            request=request,
            asked_by=self._author,
            asked_at=now,
            settles_by=now + patience,
            continued_by=self.continued_by,
        )

    @property
    def _sending_seconds(self) -> float:
        """How long after it begins to send this process may still record an answer, by anyone's clock."""
        return self.client.submission_seconds + _CLOCKS_DIFFER_SECONDS

    @property
    def _author(self) -> str:
        return author(self.asked_by)

    async def _ask(
        self, clip: PlannedClip, request: GenerateRequest, *, number: int, deadline: float
    ) -> Attempt | None:
        """Claim the attempt and send it; None if the ledger has to be read again before anything else."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    await stack.enter_async_context(self.client.admission())
            except TimeoutError:
                return None
            sending = Sending()
            claimed = self._claim(self._intent(clip, request, number=number), sending)
            return await _unbroken(claimed, sending)

    async def _claim(self, intent: Intent, sending: Sending) -> Attempt | None:
        """Claim and send; when cancelled before anything was sent, record that nothing was started."""
        claiming = asyncio.ensure_future(self.ledger.claim(intent))
        try:
            attempt = await asyncio.shield(claiming)
            if attempt is None:
                return None
            if attempt.settling_seconds < self._sending_seconds:
                # Others might give the claim up while it is being sent, and pay again.
                await self._not_sent(attempt, "recording the intent took too long")
                return None
            return await self._send(attempt, sending)
        except asyncio.CancelledError:
            if (attempt := await claiming) and not sending.may_have_started:
                await self._not_sent(attempt, "the run was stopped")
            raise

    async def _not_sent(self, attempt: Attempt, reason: str) -> None:
        error = ConnectionFailedError(f"Nothing was sent: {reason}")
        await self.ledger.conclude(attempt, Outcome.of_refusal(error, kind=FailKind.passing))

    def _addressed(self, intent: Intent) -> GenerateRequest:
        """Return what to send, with the attempt's own token, which nobody else is told."""
        if self.callbacks is None:
            return intent.request
        url = self.callbacks.url(AttemptRef(intent.fingerprint, intent.number))
        return intent.request.model_copy(update={"callback_url": url})

    async def _send(self, attempt: Attempt, sending: Sending) -> Attempt | None:
        try:
            generation_id = await self.client.submit(self._addressed(attempt.intent), sending=sending)
        except SeedanceError as error:
            if not error.outcome_known:
                message = f"{unresolved_message(self.ledger, attempt.intent)} ({error})"
                raise SubmissionUnresolvedError(message) from error
            await self.ledger.conclude(attempt, Outcome.of_refusal(error, kind=_kind(error)))
            if may_repeat_submission(error):
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
                f"{attempt.intent.name} was accepted as {generation_id}, which could not be recorded: "
                f"{error}. Once the archive can be written: "
                f"{resolve_command(self.ledger, attempt.intent)} --adopt {generation_id}"
            ) from error


def this_process() -> str:
    """Name this process, for people who read the ledger on another machine."""
    return f"{socket.gethostname()} process {os.getpid()}"


def author(asked_by: str = "") -> str:
    """Name whoever asks in this process: a flow run, if one does."""
    return f"{this_process()}{asked_by and ', '}{asked_by}"


async def _unbroken(work: Coroutine[None, None, _T], sending: Sending) -> _T:
    """Await a submission; when cancelled, let it record the answer that may be on its way, and no more."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if sending.may_have_started:
            await asyncio.wait({task}, timeout=_LAST_WORDS_SECONDS)
        task.cancel()
        await asyncio.wait({task}, timeout=_LAST_WORDS_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # the cancellation matters more, and unasked it would be printed
        raise


def _usable(last: Attempt) -> Attempt:
    """Return an attempt that has or will have a video, or raise why it has none."""
    outcome = last.outcome
    if outcome is None or outcome.result is Result.success:
        return last
    raise failure(last.intent.name, outcome)


def failure(name: str, outcome: Outcome) -> SeedanceError:
    """Return the error that an outcome without a video is."""
    said = f"{name}: {outcome.code}" + (f", {outcome.message}" if outcome.message else "")
    if outcome.kind is FailKind.content:
        return ContentRejectedError(f"{said}. Change its prompt or image, or run again with --retry-rejected")
    if outcome.kind is FailKind.input:
        return GenerationFailedError(f"{said}. Mend its prompt or image, or run again with --retry-failed")
    return GenerationFailedError(f"{said}. Run again with --retry-failed to pay for another attempt")


def _kind(error: SeedanceError) -> FailKind:
    """Sort a refused submission by what may be done about it."""
    kinds: dict[type[SeedanceError], FailKind] = {
        ContentRejectedError: FailKind.content,
        InsufficientFundsError: FailKind.money,
        InvalidRequestError: FailKind.input,
    }
    return next((kind for refusal, kind in kinds.items() if isinstance(error, refusal)), FailKind.passing)
