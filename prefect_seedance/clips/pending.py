"""A generation whose end is awaited."""

import asyncio
import math
from dataclasses import dataclass

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt


@dataclass(eq=False)
class PendingGeneration:
    """One that is in flight; all times are by the event loop's clock.

    Attributes:
        awaits_callback: Whether a receiver gets a callback at its end, and records the outcome.
        quiet_since: Since when a callback, or the next poll, is awaited.
        ended: Becomes the final status, or the attempt with the outcome that the receiver recorded.
        is_woken: Whether its end was reported after the last status read.
        errors: Failed polls since the last successful one.
    """

    attempt: Attempt
    ledger: Ledger
    awaits_callback: bool
    began: float
    quiet_since: float
    ended: asyncio.Future[Generation | Attempt]
    last_read: float = -math.inf
    is_woken: bool = False
    state: str = ""
    errors: int = 0
    last_error: str = ""

    def end(self, found: Generation | Attempt) -> None:
        """End the wait, unless it was cancelled or reached its deadline."""
        if not self.ended.done():
            self.ended.set_result(found)

    def __str__(self) -> str:
        failure = f"; the last poll failed: {self.last_error}" if self.errors else ""
        return (
            f"{self.attempt.intent.name} is still in flight as generation {self.attempt.generation_id} "
            f"({self.state or 'not polled yet'}){failure}. The generation continues and is paid for once: "
            "run again to wait for it and archive it, without paying again"
        )


def is_final(generation: Generation, *, is_settling: bool) -> bool:
    """Return whether a state is final; a success without a URL is final only once it has settled."""
    lacks_result = generation.state == "success" and not generation.result_urls
    return generation.has_ended and not (lacks_result and is_settling)
