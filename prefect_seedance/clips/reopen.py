"""Read a generation again whose video was missing when it ended."""

from collections.abc import Sequence

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome, Result
from prefect_seedance.errors import DeadlineError, NotFoundError


async def reopen(attempts: Sequence[Attempt], *, ledger: Ledger, client: SeedanceClient) -> Attempt | None:
    """Return an attempt whose video appeared after the API had reported success without one.

    Raises:
        DeadlineError: If the API is still working on it.
        SeedanceError: If the API does not answer.
    """
    for attempt in attempts:
        if attempt.acceptance and attempt.outcome and attempt.outcome.may_be_reopened:
            intent = attempt.intent
            try:
                generation = await client.status(
                    attempt.generation_id, model=intent.model, base_url=intent.base_url
                )
            except NotFoundError:
                continue
            if not generation.has_ended:
                raise DeadlineError(
                    f"{intent.name} was finished without a video, and now generation "
                    f"{attempt.generation_id} is {generation.state}. It is paid for once; run again later"
                )
            outcome = Outcome.of_generation(generation, model=intent.model)
            if outcome.result is Result.success:
                return await ledger.conclude(attempt, outcome)
    return None
