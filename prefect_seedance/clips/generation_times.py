"""The shortest time in which a generation of a kind has finished."""

import math

from prefect_seedance.api.models import generation_seconds
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.records import Attempt


class GenerationTimes:
    """Knows the shortest time per model and duration, from the provider and from this process's results."""

    def __init__(self) -> None:
        self._observed: dict[tuple[str, int], float] = {}

    def shortest_seconds(self, attempt: Attempt) -> float:
        """Return after how many seconds the attempt's generation may have finished."""
        model, duration = _kind(attempt)
        published, _ = generation_seconds(model, duration)
        return min(published, self._observed.get((model, duration), math.inf))

    def observe(self, attempt: Attempt, generation: Generation) -> None:
        """Note how long a generation took, if the API reports it and none of its kind was faster."""
        took = generation.processing_seconds
        if took and took > 0:
            kind = _kind(attempt)
            self._observed[kind] = min(took, self._observed.get(kind, math.inf))


def _kind(attempt: Attempt) -> tuple[str, int]:
    return attempt.intent.model, attempt.intent.request.input.duration
