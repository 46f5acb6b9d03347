from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, GenerateRequest, Generation
from prefect_seedance.clips.records import (
    NO_RESULT,
    Acceptance,
    Attempt,
    Intent,
    Outcome,
    Result,
    clip_prefix,
)
from prefect_seedance.errors import (
    ContentRejectedError,
    FailKind,
)

NOW = datetime.now(UTC)
REFUSED = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)
SUCCESS = Outcome(result=Result.success, ended_at=NOW)
FAILED = Outcome(result=Result.failed, ended_at=NOW)
LOST = Outcome.of_loss(resolved_by="a person")


def intent(number: int = 1, *, asked_at: datetime = NOW, settles_by: datetime = NOW) -> Intent:
    return Intent(
        fingerprint="f00d",
        number=number,
        name="dawn → noon",
        production="Lighthouse",
        model=DEFAULT_MODEL,
        base_url="https://api.apixo.ai",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves", duration=8)),
        asked_by="host process 7",
        asked_at=asked_at,
        settles_by=settles_by,
    )


@pytest.mark.parametrize(
    ("settles_in", "at_least", "at_most"), [(120, 100, 120), (-1, 0, 0)], ids=["may still answer", "over"]
)
def test_settling_time_counts_down(settles_in: float, at_least: float, at_most: float) -> None:
    """The time in which a run may still record an answer counts down to zero."""
    attempt = Attempt(intent=intent(settles_by=datetime.now(UTC) + timedelta(seconds=settles_in)))

    assert at_least <= attempt.settling_seconds <= at_most


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])
def test_settling_time_survives_clock_skew(ahead: timedelta) -> None:
    """If the clock of the run was ahead, the wait is never longer than the time that the run allowed."""
    asked_at = datetime.now(UTC) + ahead
    attempt = Attempt(intent=intent(asked_at=asked_at, settles_by=asked_at + timedelta(seconds=150)))

    assert attempt.settling_seconds == 150


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(None, 8, id="in flight"),
        pytest.param(SUCCESS, 8, id="success"),
        pytest.param(FAILED, 8, id="failed"),
        pytest.param(LOST, 8, id="lost"),
        pytest.param(REFUSED, 0, id="not started"),
    ],
)
def test_bills_all_but_not_started(outcome: Outcome | None, expected: int) -> None:
    """Only a submission that certainly started nothing costs nothing."""
    assert Attempt(intent=intent(), outcome=outcome).billed_seconds == expected


def test_acceptance_overrules_loss() -> None:
    """An attempt that was declared lost and accepted after all has no outcome yet."""
    acceptance = Acceptance(generation_id="task_1", accepted_at=NOW)

    assert Attempt.of(intent(), acceptance, LOST).outcome is None
    assert Attempt.of(intent(), acceptance, FAILED).outcome == FAILED
    assert Attempt.of(intent(), None, LOST).outcome == LOST


def test_keys_follow_design() -> None:
    """The keys are those that the documentation names."""
    assert clip_prefix("f00d") == "clips/f00d/"
    assert Attempt(intent=intent(7)).key == "clips/f00d/attempt-007/"


def ended(state: str = "success", **fields: object) -> Generation:
    return Generation.model_validate({"generation_id": "task_1", "state": state, **fields})


def test_success_expires() -> None:
    """The URLs of a success expire fifteen days after its end."""
    generation = ended(result_urls=("https://cdn.example/1.mp4",), completed_at=NOW)

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert outcome == Outcome(
        result=Result.success,
        ended_at=NOW,
        result_urls=("https://cdn.example/1.mp4",),
        expires_at=NOW + timedelta(days=15),
        generation=generation,
    )


def test_untimed_success_ended_now() -> None:
    """Without a time from the API, a generation ended when its status was read."""
    before = datetime.now(UTC)

    outcome = Outcome.of_generation(ended(result_urls=("https://cdn.example/1.mp4",)), model=DEFAULT_MODEL)

    assert before <= outcome.ended_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NSFW", FailKind.content),
        ("INVALID_IMAGE_URL", FailKind.image),
        ("MODEL_UNAVAILABLE", FailKind.transient),
        ("INSUFFICIENT_CREDITS", FailKind.money),
        ("SomethingNew", FailKind.unknown),
    ],
)
def test_failure_has_a_kind(code: str, kind: FailKind) -> None:
    """A failure keeps the API's code and message, and has a kind that decides about a retry."""
    outcome = Outcome.of_generation(ended("failed", fail_code=code, fail_message="No."), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code, outcome.message) == (Result.failed, kind, code, "No.")
    assert outcome.expires_at is None


def test_unexplained_failure_is_final() -> None:
    """A failure without a code is of an unknown kind."""
    outcome = Outcome.of_generation(ended("failed"), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, "UNKNOWN")


def test_failure_wins_over_urls() -> None:
    """A generation that failed has no result, even if its status has a URL."""
    generation = ended("failed", fail_code="NSFW", result_urls=("https://cdn.example/1.mp4",))

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.result_urls) == (Result.failed, ())


def test_success_needs_a_url() -> None:
    """A success without a URL is a paid failure, and the raw answer is kept."""
    generation = ended(answer={"state": "success", "resultJson": "lost?"})

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, NO_RESULT)
    assert "may have billed" in (outcome.message or "")
    assert outcome.generation == generation


MISSING = Outcome.of_generation(ended(), model=DEFAULT_MODEL)


def dated(days: float, **changes: object) -> Outcome:
    """Return an outcome without a result that was recorded so many days ago."""
    lapse = timedelta(days=days)
    assert MISSING.expires_at
    times = {"ended_at": MISSING.ended_at - lapse, "expires_at": MISSING.expires_at - lapse}
    return MISSING.model_copy(update=times | changes)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(MISSING, True, id="now"),
        pytest.param(dated(14.9), True, id="within the lifetime"),
        pytest.param(dated(15.1), False, id="past the lifetime"),
        pytest.param(dated(14.9, expires_at=None), True, id="old record"),
        pytest.param(dated(15.1, expires_at=None), False, id="expired old record"),
        pytest.param(dated(0, ended_at=datetime.max.replace(tzinfo=UTC)), True, id="absurd time"),
        pytest.param(dated(0, ended_at=datetime.max.replace(tzinfo=UTC), expires_at=None), True, id="both"),
        pytest.param(Outcome.without_result("unknown", model=DEFAULT_MODEL), True, id="unknown generation"),
        pytest.param(FAILED, False, id="failed"),
        pytest.param(dated(0, code="UNKNOWN"), False, id="unexplained failure"),
        pytest.param(SUCCESS, False, id="success"),
        pytest.param(LOST, False, id="lost"),
        pytest.param(REFUSED, False, id="not started"),
    ],
)
def test_missing_result_may_be_reopened(outcome: Outcome, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    """Only an outcome without a result can be reopened, as long as a video may still be served."""
    assert outcome.may_be_reopened is expected
    assert Outcome.model_validate_json(outcome.model_dump_json()).may_be_reopened is expected


def test_wrong_time_keeps_lifetime() -> None:
    """Without a result, the lifetime begins when the answer is read, whatever time the API reports."""
    outcome = Outcome.of_generation(ended(completed_at=datetime(1970, 1, 1, tzinfo=UTC)), model=DEFAULT_MODEL)

    assert outcome.may_be_reopened


def test_refusal_started_nothing() -> None:
    """A refused submission has another result than a failed generation."""
    assert (REFUSED.result, REFUSED.kind, REFUSED.code, REFUSED.message) == (
        Result.not_started, FailKind.content, "ContentRejectedError", "No.",
    )  # fmt: skip


def test_unknown_model_has_outcome() -> None:
    """A generation of a model that this version does not know ends like any other."""
    generation = ended(result_urls=("https://cdn.example/1.mp4",), completed_at=NOW)

    outcome = Outcome.of_generation(generation, model="seedance-9")

    assert (outcome.result, outcome.expires_at) == (Result.success, NOW + timedelta(days=15))
