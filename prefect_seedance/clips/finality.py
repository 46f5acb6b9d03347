"""Which answers to a status read are final."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from prefect_seedance.api import wall_clock
from prefect_seedance.api.models import result_lifetime
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.records import Attempt, Outcome
from prefect_seedance.errors import NotFoundError, RedirectedError, SeedanceError, may_retry_read

Answer = Generation | SeedanceError
"""What a status read returns: a state, or the error of the API or the connection."""


class Oddity(StrEnum):
    """How an answer contradicts that the API accepted the generation and bills it.

    A replica or cache that lags behind may give such an answer for a moment, at any age of the generation.
    """

    not_found = "not found"
    """The API does not know the generation."""
    no_url = "no URL"
    """The API reports success without a usable URL."""
    redirected = "redirected"
    """Something before the API redirects the request."""

    @classmethod
    def of(cls, answer: Answer) -> "Oddity | None":
        """Return the oddity of an answer, or None."""
        if isinstance(answer, NotFoundError):
            return cls.not_found
        if isinstance(answer, RedirectedError):
            return cls.redirected
        if isinstance(answer, Generation) and answer.state == "success" and not answer.result_urls:
            return cls.no_url
        return None


@dataclass
class OddAnswers:
    """The latest answers to the status reads of one generation, if all have the same oddity.

    Attributes:
        oddity: None if the latest answer was not odd.
        since: When its first answer arrived, by the event loop's clock.
    """

    oddity: Oddity | None = None
    since: float = 0.0

    def add(self, answer: Answer, *, sent: float, received: float) -> float:
        """Add an answer, and return how long after the first one of its kind it was requested, in seconds.

        Negative for the first one. Any other answer starts again, also an error of the server: an outage
        between two odd answers suggests that both belong to it.
        """
        oddity = Oddity.of(answer)
        if oddity is not self.oddity:
            self.oddity, self.since = oddity, received
        return sent - self.since


def is_final(answer: Answer, *, has_settled: bool) -> bool:
    """Return whether an answer ends the wait.

    Args:
        answer: To the latest status read.
        has_settled: Whether an odd answer has lasted long enough.
    """
    if Oddity.of(answer):
        return has_settled
    if isinstance(answer, Generation):
        return answer.has_ended
    return not may_retry_read(answer)


def has_settled_by_record(answer: Answer, attempt: Attempt, *, settling_seconds: float) -> bool:
    """Return whether a single odd answer is final, because the recorded times show that it is old.

    That is the case if the API finished the generation long enough ago, or if a video would have expired. A
    time before the submission is wrong, and shows nothing.
    """
    if _has_expired(attempt):
        return True
    completed_at = answer.completed_at if isinstance(answer, Generation) else None
    latest = wall_clock.now() - timedelta(seconds=settling_seconds)
    return completed_at is not None and attempt.intent.asked_at <= completed_at <= latest


def outcome_of(answer: Answer, attempt: Attempt) -> Outcome:
    """Return the outcome that a final answer means.

    Raises:
        SeedanceError: The API refuses to answer; the generation continues.
    """
    model = attempt.intent.model
    if isinstance(answer, Generation):
        return Outcome.of_generation(answer, model=model)
    if isinstance(answer, NotFoundError) and _has_expired(attempt):
        reason = (
            "the API no longer knows the generation, and its video would have expired; it may have billed"
        )
        return Outcome.without_result(reason, model=model)
    raise answer


def _has_expired(attempt: Attempt) -> bool:
    """Return whether the API would no longer serve a video that was finished at acceptance."""
    if attempt.acceptance is None:
        return False
    age = wall_clock.now() - attempt.acceptance.accepted_at
    return age >= result_lifetime(attempt.intent.model)
