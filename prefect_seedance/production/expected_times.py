"""How long a generation usually takes, from the model's usual times and from what the run has seen."""

from collections import defaultdict, deque
from statistics import fmean, median

from prefect_seedance.api import wall_clock
from prefect_seedance.api.models import generation_seconds
from prefect_seedance.clips.records import Attempt

_REMEMBERED = 50
"""Generations per kind that decide: enough for a median, and few enough to follow the API's load."""


class ExpectedTimes:
    """The times of generations, by model and duration."""

    def __init__(self) -> None:
        self._seen: defaultdict[tuple[str, int], deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )

    def observe(self, attempt: Attempt) -> None:
        """Note how long a generation took, if it ended with a video."""
        if attempt.acceptance and attempt.outcome and attempt.has_video:
            took = (attempt.outcome.ended_at - attempt.acceptance.accepted_at).total_seconds()
            if took > 0:
                self._seen[_kind(attempt)].append(took)

    def seconds_left(self, attempt: Attempt) -> float | None:
        """Return in how many seconds a generation probably ends; negative if it takes longer than usual.

        It is None if the API has not accepted it.
        """
        if attempt.acceptance is None:
            return None
        age = (wall_clock.now() - attempt.acceptance.accepted_at).total_seconds()
        return self._usual_seconds(attempt) - max(0.0, age)

    def _usual_seconds(self, attempt: Attempt) -> float:
        seen = self._seen.get(_kind(attempt))
        return median(seen) if seen else fmean(generation_seconds(*_kind(attempt)))


def _kind(attempt: Attempt) -> tuple[str, int]:
    return attempt.intent.model, attempt.intent.request.input.duration
