import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.generation_times import GenerationTimes
from prefect_seedance.clips.records import Attempt
from tests.status_api import accepted


def took(seconds: float | None) -> Generation:
    return Generation(generation_id="task_1", state="success", processing_seconds=seconds)


@pytest.fixture
def attempt() -> Attempt:
    return accepted(duration=4)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param([], 40, id="published"),
        pytest.param([30], 30, id="faster"),
        pytest.param([90], 40, id="slower"),
        pytest.param([12, 30], 12, id="shortest, not latest"),
        pytest.param([30, 12], 12, id="shortest so far"),
        pytest.param([None, 0], 40, id="not reported"),
        pytest.param([-5], 40, id="negative"),
    ],
)
def test_keeps_shortest_time(attempt: Attempt, observed: list[float | None], expected: float) -> None:
    """The shortest of the published and all observed times counts."""
    times = GenerationTimes()

    for seconds in observed:
        times.observe(attempt, took(seconds))

    assert times.shortest_seconds(attempt) == expected


def test_durations_are_independent(attempt: Attempt) -> None:
    """A time observed for one duration says nothing about another."""
    times = GenerationTimes()

    times.observe(attempt, took(12))

    assert times.shortest_seconds(accepted(duration=8)) == 60
