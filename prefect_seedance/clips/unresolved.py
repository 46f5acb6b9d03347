"""Submissions with an unknown outcome: wait for it, adopt it, or give it up."""

import asyncio
import itertools
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome
from prefect_seedance.errors import DeadlineError, NotFoundError, SetupError, SubmissionUnresolvedError

_LOOK_EVERY_SECONDS = 1.0
"""How often to see whether another process's submission has been answered."""

_TELLING_SECONDS = 120.0
"""How long after its usual end a generation's callback may still come: it is delivered again after about 30
and 90 s if nobody took it."""

_ADOPTING_SECONDS = 20.0
"""How long the receiver may take to adopt what a callback told of, once its author has had its time."""


_CLOCKS_DIFFER = timedelta(minutes=5)
"""By how much the API's clock may be off ours."""


async def settled(ledger: Ledger, last: Attempt, *, deadline: float, is_told: bool = False) -> Attempt:
    """Wait while whoever began an attempt may still record what became of it, and return what is known then.

    Args:
        ledger: Where it is recorded.
        last: The last attempt at a clip.
        deadline: By the event loop's clock.
        is_told: Whether to wait for a callback as well, which may tell it after all.

    Raises:
        SubmissionUnresolvedError: If its time is over and nothing was recorded.
        DeadlineError: If the deadline came first.
    """
    if not last.undecided:
        return last
    clock = asyncio.get_running_loop().time
    over = clock() + (_telling_seconds(last) if is_told else last.settling_seconds)
    while clock() < min(over, deadline):
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        latest = (await ledger.attempts(last.intent.fingerprint))[-1]
        if latest != last:
            return await settled(ledger, latest, deadline=deadline, is_told=is_told)
    if over > deadline:
        raise DeadlineError(
            f"{last.intent.name} is being submitted by {last.intent.asked_by}, whose answer did not come "
            "before the deadline; run again to continue"
        )
    raise SubmissionUnresolvedError(unresolved_message(ledger, last.intent))


def _telling_seconds(attempt: Attempt) -> float:
    """Return how long its author, or a callback, may still tell what became of an attempt."""
    intent = attempt.intent
    if not attempt.awaits_callback:
        return attempt.settling_seconds
    _, slowest = CAPABILITIES[intent.model].generation_seconds[intent.request.input.duration]
    told_by = intent.asked_at + timedelta(seconds=slowest + _TELLING_SECONDS)
    latest = max(told_by, intent.settles_by + timedelta(seconds=_ADOPTING_SECONDS))
    return max(0.0, min(latest - datetime.now(UTC), latest - intent.asked_at).total_seconds())


def unresolved_message(ledger: Ledger, intent: Intent) -> str:
    """Say what is known of an unresolved attempt, and what to do."""
    return (
        f"{intent.name}: attempt {intent.number} was begun at {intent.asked_at:%Y-%m-%d %H:%M:%S} UTC "
        f"by {intent.asked_by}, and no answer is recorded: a paid generation may exist, so it is not "
        f"bought again. Look for it in your account, and then run: "
        f"{resolve_command(ledger, intent)} --adopt TASKID (or --lost, if there is none)"
    )


def resolve_command(ledger: Ledger, intent: Intent) -> str:
    """Return the command that settles an unresolved attempt, but for its last option."""
    return f"prefect-seedance resolve {shlex.quote(ledger.archive)} {intent.fingerprint[:12]}"


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """Settles unresolved attempts, as somebody says; both ways are records in the ledger.

    Attributes:
        resolved_by: Who says it.
    """

    ledger: Ledger
    resolved_by: str

    async def unresolved(self) -> tuple[Attempt, ...]:
        """List the attempts with neither an answer nor an end, whose authors have had their time."""
        last = [history[-1] for history in await self.ledger.histories()]
        return tuple(attempt for attempt in last if attempt.undecided and not attempt.settling_seconds)

    async def adopt(self, clip: str, generation_id: str, *, client: SeedanceClient) -> Attempt:
        """Record that an unresolved attempt was accepted under this id, after asking the API for it.

        Args:
            clip: The clip's fingerprint, or enough of its beginning.
            generation_id: As the provider's console shows it.
            client: The account that pays.

        Raises:
            SetupError: If no such clip is unresolved, or the generation is another clip's.
            NotFoundError: If the API does not know the generation.
        """
        attempt = await self._attempt(clip)
        if owner := await self._owner(generation_id):
            raise SetupError(f"Generation {generation_id} already belongs to {owner.intent.name}")
        intent = attempt.intent
        try:
            await client.status(generation_id, model=intent.model, base_url=intent.base_url)
        except NotFoundError as error:
            raise NotFoundError(
                f"The API knows no generation {generation_id}; nothing was recorded. Check the id", code=404
            ) from error
        return await self.ledger.accept(attempt, generation_id, resolved_by=self.resolved_by)

    async def believe(
        self, attempt: Attempt, generation_id: str | None, *, client: SeedanceClient
    ) -> Attempt:
        """Record that an attempt was accepted under the id that its callback names, if that may be true.

        Only the API was told the attempt's address, so what comes there is about this attempt. Against
        mistakes and an address that leaked, the id must besides be of this account and model, created
        while this attempt was being asked for, and no other attempt's in the archive.

        Args:
            attempt: One that nobody knows the end of, whose author has had its time to record an answer.
            generation_id: As the callback names it, if it does.
            client: The account that pays.

        Raises:
            SubmissionUnresolvedError: If it cannot be true; a person has to resolve it.
            SeedanceError: If the API does not tell; it is asked once.
        """
        if not generation_id:
            raise SubmissionUnresolvedError("its callback names no generation")
        intent = attempt.intent
        generation = await client.status(
            generation_id, model=intent.model, base_url=intent.base_url, patience_seconds=0
        )
        if not _may_be_of(intent, generation):
            raise SubmissionUnresolvedError(
                f"generation {generation_id} was not created when it was asked for"
            )
        if owner := await self._owner(generation_id):
            raise SubmissionUnresolvedError(f"generation {generation_id} belongs to {owner.intent.name}")
        return await self.ledger.accept(attempt, generation_id, resolved_by=self.resolved_by)

    async def declare_lost(self, clip: str) -> Attempt:
        """Record that nothing will come of an unresolved attempt, which permits another, paid one.

        Args:
            clip: The clip's fingerprint, or enough of its beginning.

        Raises:
            SetupError: If no such clip is unresolved.
        """
        attempt = await self._attempt(clip)
        return await self.ledger.conclude(attempt, Outcome.of_loss(resolved_by=self.resolved_by))

    async def _attempt(self, clip: str) -> Attempt:
        """Find the one unresolved attempt that is meant."""
        histories = await self.ledger.histories()
        meant = [history[-1] for history in histories if history[-1].intent.fingerprint.startswith(clip)]
        if len(meant) != 1:
            raise SetupError(f"{len(meant)} clips in {self.ledger.archive} begin with {clip!r}; name one")
        (last,) = meant
        if not last.undecided:
            raise SetupError(f"Nothing about clip {clip} is unresolved; see: prefect-seedance ledger")
        if last.settling_seconds:
            raise SetupError(
                f"{last.intent.name} may still be answered to {last.intent.asked_by} within "
                f"{last.settling_seconds:.0f} s; try again then"
            )
        return last

    async def _owner(self, generation_id: str) -> Attempt | None:
        attempts = itertools.chain.from_iterable(await self.ledger.histories())
        return next((attempt for attempt in attempts if attempt.generation_id == generation_id), None)


def _may_be_of(intent: Intent, generation: Generation) -> bool:
    """Tell whether a generation was created while an attempt was being asked for, as far as the API says."""
    created = generation.created_at
    return created is None or intent.asked_at - _CLOCKS_DIFFER < created < intent.settles_by + _CLOCKS_DIFFER
