"""How long generations usually take."""

from datetime import timedelta

import pytest

from prefect_seedance.clips.records import Attempt, Outcome, Result
from prefect_seedance.production.expected_times import ExpectedTimes
from tests.status_api import accepted


def ended(*, took: float, result: Result = Result.success) -> Attempt:
    """Return an attempt that has ended after some seconds."""
    attempt = accepted(age_seconds=100.0)
    assert attempt.acceptance
    ended_at = attempt.acceptance.accepted_at + timedelta(seconds=took)
    return attempt.model_copy(update={"outcome": Outcome(result=result, ended_at=ended_at)})


@pytest.mark.parametrize(
    ("age", "duration", "left"), [(0, 4, 50), (20, 4, 30), (0, 12, 105), (80, 4, -30), (-10, 4, 50)]
)
def test_usual_time_counts_down(age: float, duration: int, left: float) -> None:
    """At first the model's usual time counts, from the acceptance on, whatever clock recorded it."""
    assert ExpectedTimes().seconds_left(accepted(age_seconds=age, duration=duration)) == pytest.approx(
        left, abs=1
    )


def test_seen_times_count_more() -> None:
    """Once generations of a kind have ended, their median counts, and for this kind only."""
    times = ExpectedTimes()

    for took in (8.0, 10.0, 500.0):
        times.observe(ended(took=took))

    assert times.seconds_left(accepted()) == pytest.approx(10, abs=1)
    assert times.seconds_left(accepted(duration=8)) == pytest.approx(75, abs=1)


@pytest.mark.parametrize(
    "attempt",
    [accepted(), ended(took=1, result=Result.failed), ended(took=-5)],
    ids=["open", "failed", "clock"],
)
def test_other_times_do_not_count(attempt: Attempt) -> None:
    """Only generations with a video say how long one takes."""
    times = ExpectedTimes()

    times.observe(attempt)

    assert times.seconds_left(accepted()) == pytest.approx(50, abs=1)


def test_unaccepted_has_no_time() -> None:
    """A submission without an answer has no expected end."""
    assert ExpectedTimes().seconds_left(accepted().model_copy(update={"acceptance": None})) is None
