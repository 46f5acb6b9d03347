from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.records import Acceptance, Attempt, Outcome, Result
from prefect_seedance.clips.retry import decisive, failure, forbidding, refusal_kind
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
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import intent_of

CLIP = PlannedClip(
    name="dawn → noon", prompt="waves", images=(), settings=ClipSettings(), number=1, fingerprint="f" * 32
)


def outcome(result: Result, kind: FailKind | None = None, message: str | None = None) -> Outcome:
    return Outcome(
        result=result, ended_at=datetime(2026, 11, 1, tzinfo=UTC), kind=kind, code="CODE", message=message
    )


def attempt(
    outcome: Outcome | None = None, *, number: int = 1, generation_id: str | None = "task_1"
) -> Attempt:
    intent = intent_of(CLIP).model_copy(update={"number": number})
    acceptance = generation_id and Acceptance(generation_id=generation_id, accepted_at=intent.asked_at)
    return Attempt(intent=intent, acceptance=acceptance or None, outcome=outcome)


def permits(attempts: Sequence[Attempt], policy: RetryPolicy) -> bool:
    return forbidding(attempts, policy) is None


FAILED, REJECTED, BOTH = "retry_failed", "retry_rejected", "without options"

PERMISSIONS = [
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
    attempts = [attempt(last)]

    assert permits(attempts, RetryPolicy()) is (needs == BOTH)
    assert permits(attempts, RetryPolicy(retry_failed=True)) is (needs in {BOTH, FAILED})
    assert permits(attempts, RetryPolicy(retry_rejected=True)) is (needs in {BOTH, REJECTED})
    assert permits(attempts, RetryPolicy(on_unresolved="resubmit")) is (needs == BOTH)


VIDEO, OPEN, UNDECIDED = attempt(outcome(Result.success)), attempt(), attempt(generation_id=None)
ENDED = attempt(outcome(Result.failed, FailKind.transient))
REFUSED = attempt(outcome(Result.not_started, FailKind.transient), generation_id=None)
LOST = attempt(outcome(Result.lost), generation_id=None)


@pytest.mark.parametrize(
    ("attempts", "number"),
    [
        pytest.param([VIDEO, OPEN, ENDED], 1, id="a video first"),
        pytest.param([ENDED, OPEN, UNDECIDED], 2, id="then one in flight"),
        pytest.param([ENDED, UNDECIDED, REFUSED], 2, id="then one without an answer"),
        pytest.param([ENDED, LOST, REFUSED], 3, id="else the last"),
        pytest.param([OPEN, OPEN, ENDED], 2, id="the later of two"),
    ],
)
def test_decides_over_all_attempts(attempts: Sequence[Attempt], number: int) -> None:
    """An earlier attempt that has a video, or may get one, decides before a later one that ended."""
    numbered = [
        each.model_copy(update={"intent": each.intent.model_copy(update={"number": place})})
        for place, each in enumerate(attempts, start=1)
    ]

    found = decisive(numbered)

    assert found
    assert found.intent.number == number


def test_nothing_decides_without_attempts() -> None:
    """A clip without attempts has none that decides, and may be submitted."""
    assert decisive([]) is None
    assert forbidding([], RetryPolicy()) is None


@pytest.mark.parametrize(
    ("attempts", "policy", "is_permitted"),
    [
        pytest.param([ENDED, REFUSED], RetryPolicy(), False, id="refusal after failure"),
        pytest.param([ENDED, REFUSED], RetryPolicy(retry_failed=True), True, id="refusal, with permission"),
        pytest.param([ENDED, LOST], RetryPolicy(), True, id="loss declared after failure"),
        pytest.param([LOST, ENDED], RetryPolicy(), False, id="failure after loss"),
    ],
)
def test_failure_forbids_until_permitted(
    attempts: Sequence[Attempt], policy: RetryPolicy, *, is_permitted: bool
) -> None:
    """A refusal that cost nothing neither gives nor uses up the permission that a failure needs."""
    assert permits(attempts, policy) is is_permitted


@pytest.mark.parametrize(
    ("kind", "error", "remedy"),
    [
        (
            FailKind.content,
            ContentRejectedError,
            "Change its prompt or image, or run again with retry=RetryPolicy(retry_rejected=True)",
        ),
        (
            FailKind.input,
            GenerationFailedError,
            "Correct its prompt or image, or run again with retry=RetryPolicy(retry_failed=True)",
        ),
        (
            FailKind.transient,
            GenerationFailedError,
            "Run again with retry=RetryPolicy(retry_failed=True) to pay for another attempt",
        ),
    ],
)
def test_failure_names_remedy(kind: FailKind, error: type[SeedanceError], remedy: str) -> None:
    """The error names the clip, the API's code and message, and the remedy."""
    found = failure(attempt(outcome(Result.failed, kind, "No.")))

    assert type(found) is error
    assert str(found) == f"dawn → noon: CODE, No.. {remedy}"


def test_unfetched_image_is_named() -> None:
    """If the API could not fetch an image, the error names the image's URL without its signature."""
    failed = attempt(outcome(Result.failed, FailKind.image, "No."))
    clip = failed.intent.request.input.model_copy(update={"image_urls": ("https://a.example/1.png?key=1",)})
    request = failed.intent.request.model_copy(update={"input": clip})
    intent = failed.intent.model_copy(update={"request": request})

    message = str(failure(failed.model_copy(update={"intent": intent})))

    assert (
        "could not fetch https://a.example/1.png. Check the URL (for a local image, images_url of Hosting)"
        in message
    )


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
