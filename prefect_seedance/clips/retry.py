"""Whether to retry an attempt that ended without a video, and which error it is otherwise."""

from typing import Final

from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.errors import (
    ContentRejectedError,
    FailKind,
    GenerationFailedError,
    InsufficientFundsError,
    InvalidRequestError,
    SeedanceError,
)
from prefect_seedance.options import RetryPolicy

FREE_RESULTS: Final = frozenset({Result.not_started, Result.lost})
"""Results after which a retry needs no further permission: nothing was bought, or a person permitted it."""

_FAIL_KINDS: Final[dict[type[SeedanceError], FailKind]] = {
    ContentRejectedError: FailKind.content,
    InsufficientFundsError: FailKind.money,
    InvalidRequestError: FailKind.input,
}


def permits_retry(policy: RetryPolicy, outcome: Outcome) -> bool:
    """Return whether a run may submit another attempt after one with this outcome."""
    if outcome.result is Result.success:
        return False
    if outcome.kind is FailKind.content:
        return policy.retry_rejected
    return outcome.result in FREE_RESULTS or policy.retry_failed


def failure(name: str, outcome: Outcome) -> SeedanceError:
    """Return the error of a clip whose last attempt ended without a video."""
    reason = f"{name}: {outcome.code}" + (f", {outcome.message}" if outcome.message else "")
    if outcome.kind is FailKind.content:
        return ContentRejectedError(
            f"{reason}. Change its prompt or image, or run again with --retry-rejected"
        )
    if outcome.kind is FailKind.input:
        return GenerationFailedError(
            f"{reason}. Correct its prompt or image, or run again with --retry-failed"
        )
    return GenerationFailedError(f"{reason}. Run again with --retry-failed to pay for another attempt")


def refusal_kind(error: SeedanceError) -> FailKind:
    """Return the kind of failure that a refused submission is."""
    return next(
        (kind for refusal, kind in _FAIL_KINDS.items() if isinstance(error, refusal)), FailKind.transient
    )
