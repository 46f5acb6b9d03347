"""Submit a clip at most once, however many runs try and wherever they crash."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from prefect_seedance.api import wall_clock
from prefect_seedance.api.callback_urls import AttemptRef, Callbacks
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.permit import Permit
from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.purchase import Purchase
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result
from prefect_seedance.clips.reopen import reopen
from prefect_seedance.clips.retry import decisive, failure, forbidding
from prefect_seedance.clips.unresolved import wait_until_resolved
from prefect_seedance.errors import (
    ArchiveError,
    ConnectionFailedError,
    DeadlineError,
    SeedanceError,
    SubmissionUnresolvedError,
)
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storyboard.plan import PlannedClip

_CLOCKS_DIFFER_SECONDS = 5.0
"""How far the clocks of two machines may differ before one declares the other's submission unresolved
too early."""


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Submits clips for one production, on one account, into one ledger.

    Attributes:
        production: Name of the production, for people who read the ledger.
        run_id: The run, which pays at most once for a clip.
        flow_run: The flow run, recorded in the ledger after host and process.
        callbacks: The receiver that the API calls when a generation has ended; None to poll only.
        waits: Whether to wait for the callback if the answer to a submission is lost.
        continued_by: As in `Intent`.
    """

    client: SeedanceClient
    ledger: Ledger
    production: str
    run_id: str
    flow_run: FlowRunRef | None = None
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
            GenerationFailedError: An attempt failed, and the policy permits no other.
            ContentRejectedError: The content of an attempt was rejected, and the policy permits no other.
            DeadlineError: The deadline came first; nothing was spent.
            SeedanceError: The API refuses; nothing was spent.
        """
        unresolved: SubmissionUnresolvedError | None = None
        known: Sequence[Attempt] | None = None
        while asyncio.get_running_loop().time() < deadline:
            attempts = await self.ledger.attempts(clip.fingerprint)
            known = attempts if known is None else known
            latest, ours = decisive(attempts), self._paid(attempts)
            if latest and (latest.is_open or latest.has_video):
                return latest
            if latest and latest.undecided:
                may_pay = self.policy.on_unresolved == "resubmit" and not ours
                await self._resolve(latest, deadline=deadline, unresolved=unresolved, may_pay=may_pay)
                continue
            if reopened := await reopen(attempts, ledger=self.ledger, client=self.client):
                return reopened
            if forbids := ours or _new_failure(attempts, known) or forbidding(attempts, self.policy):
                raise failure(forbids)
            number = latest.intent.number + 1 if latest else 1
            try:
                if attempt := await self._submit_attempt(clip, compose, number=number, deadline=deadline):
                    return attempt
            except SubmissionUnresolvedError as error:
                if not self._expects_callback or isinstance(error.__cause__, ArchiveError):
                    raise  # a message with the id of an accepted generation must reach the author
                unresolved = error
        raise unresolved or self._late(clip)

    def _late(self, clip: PlannedClip) -> SeedanceError:
        """Return the error of a clip that was not submitted in time, with what has prevented it."""
        refusal = self.client.account.submissions.refusal
        reason = f" ({refusal})" if refusal else ""
        message = f"{clip.name} was not submitted before the deadline and cost nothing{reason}"
        if isinstance(refusal, ConnectionFailedError):
            return ConnectionFailedError(f"{message}. Check the base URL and the network, then run again")
        return DeadlineError(f"{message}; run again to continue")

    def _paid(self, attempts: Sequence[Attempt]) -> Attempt | None:
        """Return an attempt that this run may have paid for: it pays for a clip once."""
        ours = (attempt for attempt in attempts if attempt.intent.run_id == self.run_id)
        return next((attempt for attempt in ours if attempt.billed_seconds), None)

    @property
    def _expects_callback(self) -> bool:
        return self.callbacks is not None and self.waits

    async def _resolve(
        self,
        latest: Attempt,
        *,
        deadline: float,
        unresolved: SubmissionUnresolvedError | None,
        may_pay: bool,
    ) -> None:
        """Wait for the answer to a submission; if there is none, raise or declare it lost.

        Args:
            latest: The attempt without an answer.
            deadline: By the event loop's clock.
            unresolved: The error to raise, if this run submitted the attempt itself.
            may_pay: Whether this run may pay for another attempt.
        """
        try:
            await wait_until_resolved(
                self.ledger, latest, deadline=deadline, expect_callback=self._expects_callback
            )
        except DeadlineError as error:
            raise unresolved or error from None
        except SubmissionUnresolvedError as error:
            if not may_pay:
                raise unresolved or error from None
            await self.ledger.conclude(latest, Outcome.of_loss(resolved_by=self._run))

    def _intent(self, clip: PlannedClip, request: GenerateRequest, *, number: int) -> Intent:
        now = wall_clock.now()
        return Intent(
            fingerprint=clip.fingerprint,
            number=number,
            name=clip.name,
            production=self.production,
            model=clip.model or self.client.model,
            base_url=self.client.base_url,
            request=request.model_copy(update={"input": request.input.without_signatures()}),
            asked_by=self._run,
            flow_run=self.flow_run,
            asked_at=now,
            settles_by=now + timedelta(seconds=self._settling_seconds),
            run_id=self.run_id,
            nonce=secrets.token_hex(8),
            continued_by=self.continued_by,
            take=clip.take,
        )

    @property
    def _settling_seconds(self) -> float:
        """How long after the intent its answer may be recorded, by any machine's clock.

        The request leaves within one timeout, is answered within a second and recorded within a third.
        """
        return 3 * self.client.timeout_seconds + _CLOCKS_DIFFER_SECONDS

    @property
    def _run(self) -> str:
        return describe_run(self.flow_run)

    async def _submit_attempt(
        self,
        clip: PlannedClip,
        compose: Callable[[], Awaitable[GenerateRequest]],
        *,
        number: int,
        deadline: float,
    ) -> Attempt | None:
        """Claim the attempt and send it; return None if the caller has to read the ledger again first."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline) as limit:
                    request = await compose()
                    await stack.enter_async_context(self.client.admission(model=clip.model or None))
            except TimeoutError:
                if limit.expired():
                    return None
                raise
            seconds_left = deadline - asyncio.get_running_loop().time()
            # Before the intent: a process that is stopped in between has less time to send.
            permit = Permit.lasting(min(self.client.timeout_seconds, seconds_left))
            if self.callbacks:
                changes = {"request_type": "callback", "callback_url": self.callbacks.base}
                request = request.model_copy(update=changes)
            intent = self._intent(clip, request, number=number)
            purchase = Purchase(
                client=self.client,
                ledger=self.ledger,
                intent=intent,
                request=self._with_callback_url(request, intent),
            )
            return await purchase.make(permit)

    def _with_callback_url(self, request: GenerateRequest, intent: Intent) -> GenerateRequest:
        """Return the request with the attempt's token, which is only sent to the API."""
        if self.callbacks is None:
            return request
        url = self.callbacks.url(AttemptRef(intent.fingerprint, intent.number))
        return request.model_copy(update={"callback_url": url})


def _new_failure(attempts: Sequence[Attempt], known: Sequence[Attempt]) -> Attempt | None:
    """Return an attempt that failed while this run waited: its permission is for earlier failures."""
    ended = {attempt.intent.number for attempt in known if attempt.outcome}
    failed = (each for each in attempts if each.outcome and each.outcome.result is Result.failed)
    return next((attempt for attempt in failed if attempt.intent.number not in ended), None)


def this_process() -> str:
    """Return host and process id, for people who read the ledger on another machine."""
    return f"{socket.gethostname()} process {os.getpid()}"


def describe_run(flow_run: FlowRunRef | None) -> str:
    """Return host, process id and, within Prefect, the flow run, as `Intent.asked_by` records them."""
    return f"{this_process()}, {flow_run}" if flow_run else this_process()
