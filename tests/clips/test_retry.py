from datetime import UTC, datetime

import pytest

from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.clips.retry import failure, permits_retry, refusal_kind
from prefect_seedance.errors import (
    ApiError,
    AuthenticationError,
    ContentRejectedError,
    FailKind,
    GenerationFailedError,
    InsufficientFundsError,
    InvalidRequestError,
    NotFoundError,
    SeedanceError,
)
from prefect_seedance.options import RetryPolicy


def outcome(result: Result, kind: FailKind | None = None, message: str | None = None) -> Outcome:
    return Outcome(
        result=result, ended_at=datetime(2026, 11, 1, tzinfo=UTC), kind=kind, code="CODE", message=message
    )


NEVER, FAILED, REJECTED, BOTH = "never", "retry_failed", "retry_rejected", "without options"

PERMISSIONS = [
    pytest.param(outcome(Result.success), NEVER, id="success"),
    pytest.param(outcome(Result.failed, FailKind.transient), FAILED, id="failed"),
    pytest.param(outcome(Result.failed, FailKind.unknown), FAILED, id="failed for unknown reason"),
    pytest.param(outcome(Result.failed, FailKind.content), REJECTED, id="content rejected"),
    pytest.param(outcome(Result.not_started, FailKind.content), REJECTED, id="refused for its content"),
    pytest.param(outcome(Result.not_started, FailKind.money), BOTH, id="refused for money"),
    pytest.param(outcome(Result.lost), BOTH, id="declared lost"),
]


@pytest.mark.parametrize(("last", "needs"), PERMISSIONS)
def test_retry_needs_its_option(last: Outcome, needs: str) -> None:
    """A paid failure is retried only with its option; whatever cost nothing is retried without."""
    assert permits_retry(RetryPolicy(), last) is (needs == BOTH)
    assert permits_retry(RetryPolicy(retry_failed=True), last) is (needs in {BOTH, FAILED})
    assert permits_retry(RetryPolicy(retry_rejected=True), last) is (needs in {BOTH, REJECTED})
    assert permits_retry(RetryPolicy(on_unresolved="resubmit"), last) is (needs == BOTH)


@pytest.mark.parametrize(
    ("kind", "error", "remedy"),
    [
        (
            FailKind.content,
            ContentRejectedError,
            "Change its prompt or image, or run again with --retry-rejected",
        ),
        (
            FailKind.input,
            GenerationFailedError,
            "Correct its prompt or image, or run again with --retry-failed",
        ),
        (
            FailKind.transient,
            GenerationFailedError,
            "Run again with --retry-failed to pay for another attempt",
        ),
    ],
)
def test_failure_names_remedy(kind: FailKind, error: type[SeedanceError], remedy: str) -> None:
    """The error names the clip, the API's code and message, and the remedy."""
    found = failure("dawn → noon", outcome(Result.failed, kind, "No."))

    assert type(found) is error
    assert str(found) == f"dawn → noon: CODE, No.. {remedy}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ContentRejectedError("no"), FailKind.content),
        (InsufficientFundsError("no"), FailKind.money),
        (InvalidRequestError("no"), FailKind.input),
        (NotFoundError("no"), FailKind.input),
        (AuthenticationError("no"), FailKind.transient),
        (ApiError("no"), FailKind.transient),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_refusals_have_kinds(error: SeedanceError, kind: FailKind) -> None:
    """A refused submission has the kind that decides about a retry."""
    assert refusal_kind(error) is kind
