"""Settle what became of a submission whose answer nobody recorded."""

import itertools
from dataclasses import dataclass

from prefect_seedance.client import SeedanceClient
from prefect_seedance.errors import NotFoundError, SetupError
from prefect_seedance.ledger import Attempt, Ledger, Outcome


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
