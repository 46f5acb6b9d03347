"""A generation whose end is awaited."""

import asyncio
import math
from dataclasses import dataclass, field

from prefect_seedance.clips.finality import OddAnswers
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome


@dataclass(eq=False)
class PendingGeneration:
    """One that is in flight; all times are by the event loop's clock.

    Attributes:
        expects_callback: Whether a callback is still expected, so that reads of the status can wait for it.
        next_read: When to read the status, if no callback is expected.
        ended: Becomes the outcome to record, or the attempt with the outcome that the receiver recorded.
        last_read: When the last read of the status ended; infinite while one is under way.
        errors: Failed reads since the last successful one.
    """

    attempt: Attempt
    ledger: Ledger
    expects_callback: bool
    next_read: float
    ended: asyncio.Future[Outcome | Attempt]
    last_read: float = -math.inf
    state: str = ""
    errors: int = 0
    last_error: str = ""
    odd_answers: OddAnswers = field(default_factory=OddAnswers)

    def end(self, found: Outcome | Attempt) -> None:
        """End the wait, unless it has ended."""
        if not self.ended.done():
            self.ended.set_result(found)

    def fail(self, error: Exception) -> None:
        """End the wait with an error, unless it has ended."""
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # asyncio logs an exception that a cancelled wait never retrieves

    @property
    def is_doubtful(self) -> bool:
        """Whether the last read failed or returned an odd answer, so that another one must clarify it."""
        return self.errors > 0 or self.odd_answers.oddity is not None

    def __str__(self) -> str:
        failure = f"; the last poll failed: {self.last_error}" if self.errors else ""
        return (
            f"{self.attempt.intent.name} is still in flight as generation {self.attempt.generation_id} "
            f"({self.state or 'not polled yet'}){failure}. The generation continues and is paid for once: "
            "run again to wait for it and archive it, without paying again"
        )
