"""Which attempt decides about a clip, whether to submit another, and which error it is otherwise."""

from collections.abc import Sequence
from typing import Final

from prefect_seedance.api.urls import shown_url
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.doors import option
from prefect_seedance.errors import (
    ContentRejectedError,
    FailKind,
    GenerationFailedError,
    InsufficientFundsError,
    InvalidRequestError,
    SeedanceError,
)
from prefect_seedance.options import RetryPolicy

_FAIL_KINDS: Final[dict[type[SeedanceError], FailKind]] = {
    ContentRejectedError: FailKind.content,
    InsufficientFundsError: FailKind.money,
    InvalidRequestError: FailKind.input,
}


def decisive(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that decides about a clip; None if there is none.

    That is one with a video; else one that the API accepted and that has not ended; else one without an
    answer; else the last one.
    """
    return min(reversed(attempts), key=_rank, default=None)


def _rank(attempt: Attempt) -> int:
    ranks = (attempt.has_video, attempt.is_open, attempt.undecided, True)
    return ranks.index(True)


def forbidding(attempts: Sequence[Attempt], policy: RetryPolicy) -> Attempt | None:
    """Return the attempt after whose end the policy permits no other; None if it permits one.

    Args:
        attempts: All attempts at a clip, of which none has a video or may still get one.
        policy: Which failures to pay for again.
    """
    for attempt in reversed(attempts):
        outcome = attempt.outcome
        if outcome is None or outcome.result is Result.lost:  # a loss was declared to permit another attempt
            return None
        if outcome.kind is FailKind.content:
            return None if policy.retry_rejected else attempt
        if outcome.result is Result.failed:
            return None if policy.retry_failed else attempt
    return None


def failure(attempt: Attempt) -> SeedanceError:
    """Return the error of a clip whose attempt ended without a video."""
    name, outcome = attempt.intent.name, attempt.outcome
    if outcome is None or outcome.result is Result.lost:
        return GenerationFailedError(
            f"{name}: its submission was declared lost. Run again to pay for another attempt"
        )
    reason = f"{name}: {outcome.code}" + (f", {outcome.message}" if outcome.message else "")
    again = option("retry_failed", value=True)
    if outcome.kind is FailKind.content:
        return ContentRejectedError(
            f"{reason}. Change its prompt or image, or run again with {option('retry_rejected', value=True)}"
        )
    if outcome.kind is FailKind.image:
        urls = " or ".join(map(shown_url, attempt.intent.request.input.file_urls))
        return GenerationFailedError(
            f"{reason}. The API could not fetch {urls}. Check the URL (for a local image, "
            f"{option('images_url')}), then run again with {again}"
        )
    if outcome.kind is FailKind.input:
        return GenerationFailedError(f"{reason}. Correct its prompt or image, or run again with {again}")
    return GenerationFailedError(f"{reason}. Run again with {again} to pay for another attempt")


def refusal_kind(error: SeedanceError) -> FailKind:
    """Return the kind of failure that a refused submission is."""
    return next(
        (kind for refusal, kind in _FAIL_KINDS.items() if isinstance(error, refusal)), FailKind.transient
    )
