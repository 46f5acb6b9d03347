"""Settle what became of a submission whose answer nobody recorded."""

import itertools
from dataclasses import dataclass
from datetime import timedelta

from prefect_seedance.client import SeedanceClient
from prefect_seedance.errors import NotFoundError, SetupError, SubmissionUnresolvedError
from prefect_seedance.ledger import Attempt, Intent, Ledger, Outcome
from prefect_seedance.models import Generation

_CLOCKS_DIFFER = timedelta(minutes=5)
"""By how much the API's clock may be off ours."""


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
