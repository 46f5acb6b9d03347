"""Submissions with an unknown outcome: wait for the answer, adopt the generation, or declare it lost."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta

from prefect_seedance.api import wall_clock
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.models import generation_seconds
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome
from prefect_seedance.doors import decision, run
from prefect_seedance.errors import DeadlineError, NotFoundError, SetupError, SubmissionUnresolvedError

_POLL_EVERY_SECONDS = 1.0
"""Time between two reads of the ledger, while another process may record an answer."""

_CALLBACK_DELAY_SECONDS = 120.0
"""How long after the slowest usual end of a generation its callback may arrive: the API delivers it again
after about 30 and 90 s if the receiver did not accept it."""

_ADOPTION_SECONDS = 20.0
"""How long the receiver may take to adopt the generation that a callback names, once it may."""

_CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the API's clock may differ from ours."""


async def wait_until_resolved(
    ledger: Ledger, last: Attempt, *, deadline: float, expect_callback: bool = False
) -> Attempt:
    """Wait while the answer to a submission may still be recorded, and return the attempt with it.

    Args:
        ledger: Where the answer is recorded.
        last: An attempt at a clip.
        deadline: By the event loop's clock.
        expect_callback: Whether to wait for the attempt's callback too, if the answer itself was lost.

    Raises:
        SubmissionUnresolvedError: The time for an answer is over, and none is recorded.
        DeadlineError: The deadline came first.
    """
    if not last.undecided:
        return last
    clock = asyncio.get_running_loop().time
    latest, over = last, clock() + _settling_seconds(last, expect_callback=expect_callback)
    while clock() < min(over, deadline):
        await asyncio.sleep(_POLL_EVERY_SECONDS)
        latest = await ledger.refreshed(latest)
        if not latest.undecided:
            return latest
        over = min(over, clock() + _settling_seconds(latest, expect_callback=expect_callback))
    if over > deadline:
        raise DeadlineError(
            f"{submitting_message(latest)}. No answer was recorded before the deadline; run again to continue"
        )
    raise SubmissionUnresolvedError(unresolved_message(ledger, latest))


def _settling_seconds(attempt: Attempt, *, expect_callback: bool) -> float:
    """Return how long the answer to an attempt may still be recorded, by its run or after a callback."""
    intent = attempt.intent
    if not (expect_callback and attempt.awaits_callback):
        return attempt.settling_seconds
    _, slowest = generation_seconds(intent.model, intent.request.input.duration)
    called_by = intent.asked_at + timedelta(seconds=slowest + _CALLBACK_DELAY_SECONDS)
    latest = max(called_by, intent.settles_by + timedelta(seconds=_ADOPTION_SECONDS))
    return max(0.0, min(latest - wall_clock.now(), latest - intent.asked_at).total_seconds())


def submitting_message(attempt: Attempt) -> str:
    """Return a message about an attempt whose run may still record the answer, and until when."""
    intent = attempt.intent
    return (
        f"{intent.name} is being submitted by {intent.asked_by}, which may record an answer until "
        f"{_end_of_settling(attempt)}"
    )


def unresolved_message(ledger: Ledger, attempt: Attempt) -> str:
    """Return a message about an unresolved attempt that ends with the command to resolve it."""
    intent = attempt.intent
    lost = decision("lost")
    if attempt.settling_seconds:
        lost = f"from {_end_of_settling(attempt)} on, {lost}"
    return (
        f"{intent.name}: attempt {intent.number} was submitted at {intent.asked_at:%Y-%m-%d %H:%M:%S} UTC "
        f"by {intent.asked_by}, and no answer is recorded: a paid generation may exist, so the clip "
        f"is not submitted again. Find the generation in your account, then {resolving(ledger, intent)} "
        f"{decision('adopt', 'TASKID')} (or {lost}, if there is none)"
    )


def _end_of_settling(attempt: Attempt) -> str:
    """Return when the time for an answer ends, by this machine's clock, rounded up to a second."""
    end = wall_clock.now() + timedelta(seconds=attempt.settling_seconds + 1)
    return f"{end:%H:%M:%S} UTC"


def resolving(ledger: Ledger, intent: Intent) -> str:
    """Return how to resolve an attempt, without the decision."""
    return run("resolve", ledger.archive, intent.fingerprint[:12])


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """Resolves attempts with an unknown outcome: adopts their generations, or declares them lost.

    Attributes:
        resolved_by: The person or process that resolves; the ledger records it.
    """

    ledger: Ledger
    resolved_by: str

    async def unresolved(self) -> tuple[Attempt, ...]:
        """List the attempts without an answer whose runs can no longer record one."""
        attempts = itertools.chain.from_iterable(await self.ledger.histories())
        return tuple(each for each in attempts if each.undecided and not each.settling_seconds)

    async def adopt(self, clip: str, generation_id: str, *, client: SeedanceClient) -> Attempt:
        """Record that the API accepted an unresolved attempt under this id, if the API knows the id.

        This needs no wait for the run's own answer, which overrules the adoption if it is recorded after all.

        Args:
            clip: The clip's fingerprint, or the beginning of it.
            generation_id: As the provider's console shows it.
            client: The account that pays.

        Raises:
            SetupError: No such clip is unresolved, or the generation belongs to another clip.
            NotFoundError: The API does not know the generation.
        """
        attempt = await self._attempt(clip)
        if owner := await self._owner(generation_id):
            raise SetupError(
                f"Generation {generation_id} already belongs to {owner.intent.name}; check the id"
            )
        intent = attempt.intent
        try:
            await client.status(generation_id, model=intent.model, base_url=intent.base_url)
        except NotFoundError as error:
            raise NotFoundError(
                f"The API knows no generation {generation_id}; nothing was recorded. Check the id", code=404
            ) from error
        return await self.ledger.accept(attempt, generation_id, resolved_by=self.resolved_by)

    async def adopt_from_callback(
        self, attempt: Attempt, generation_id: str | None, *, client: SeedanceClient
    ) -> Attempt:
        """Record that the API accepted an attempt under the id in its callback, if that is plausible.

        Only the API knows the attempt's callback URL, so a call to it concerns this attempt. In case of a
        mistake or a leaked URL, the id must also belong to this account and model, must have been created
        while this attempt was submitted, and must not belong to another attempt in the archive.

        Args:
            attempt: One without an answer, whose run can no longer record one.
            generation_id: The id in the callback, if there is one.
            client: The account that pays.

        Raises:
            SubmissionUnresolvedError: The id is not plausible; a person has to resolve the attempt.
            SeedanceError: The API does not answer; it is asked once.
        """
        if not generation_id:
            raise SubmissionUnresolvedError("its callback names no generation")
        intent = attempt.intent
        generation = await client.status(
            generation_id, model=intent.model, base_url=intent.base_url, retry_seconds=0
        )
        if not _is_plausible(intent, generation):
            raise SubmissionUnresolvedError(
                f"generation {generation_id} was created before or after this submission"
            )
        if owner := await self._owner(generation_id):
            raise SubmissionUnresolvedError(f"generation {generation_id} belongs to {owner.intent.name}")
        return await self.ledger.accept(attempt, generation_id, resolved_by=self.resolved_by)

    async def declare_lost(self, clip: str) -> Attempt:
        """Record that an unresolved attempt will have no video, which permits another, paid attempt.

        Args:
            clip: The clip's fingerprint, or the beginning of it.

        Raises:
            SetupError: No such clip is unresolved.
        """
        attempt = await self._settled(await self._attempt(clip))
        return await self.ledger.conclude(attempt, Outcome.of_loss(resolved_by=self.resolved_by))

    async def _attempt(self, clip: str) -> Attempt:
        """Find the unresolved attempt at the clip that a fingerprint, or its beginning, names."""
        matches = [each for each in await self.ledger.fingerprints() if each.startswith(clip)]
        if len(matches) != 1:
            raise SetupError(
                f"The fingerprints of {len(matches)} clips in {self.ledger.archive} begin with {clip!r}; "
                f"give the fingerprint of one; to list them, {run('ledger', self.ledger.archive)}"
            )
        attempts = await self.ledger.attempts(matches[0])
        undecided = [attempt for attempt in attempts if attempt.undecided]
        if not undecided:
            raise SetupError(
                f"Clip {clip} has no unresolved submission; to see its status, "
                f"{run('ledger', self.ledger.archive)}"
            )
        return undecided[0]

    async def _settled(self, attempt: Attempt) -> Attempt:
        """Return an attempt to which its run can no longer record an answer.

        Raises:
            SetupError: The run may still record one, or has just done so.
        """
        if attempt.settling_seconds and attempt.intent.asked_at <= wall_clock.now() + _CLOCKS_DIFFER:
            raise SetupError(f"{submitting_message(attempt)}; declare it lost after that")
        await asyncio.sleep(attempt.settling_seconds)  # its clock is ahead, so its times tell only how long
        answered = await self.ledger.refreshed(attempt)
        if not answered.undecided:
            raise SetupError(
                f"Clip {attempt.intent.fingerprint[:12]} has no unresolved submission; to see its status, "
                f"{run('ledger', self.ledger.archive)}"
            )
        return attempt

    async def _owner(self, generation_id: str) -> Attempt | None:
        attempts = itertools.chain.from_iterable(await self.ledger.histories())
        return next((attempt for attempt in attempts if attempt.generation_id == generation_id), None)


def _is_plausible(intent: Intent, generation: Generation) -> bool:
    """Return whether a generation was created while an attempt was submitted, as far as the API reports."""
    created = generation.created_at
    return created is None or intent.asked_at - _CLOCKS_DIFFER < created < intent.settles_by + _CLOCKS_DIFFER
