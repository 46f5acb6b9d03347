"""The course of a generation, decided when it is accepted."""

from dataclasses import dataclass, field
from random import Random

from prefect_seedance.sandbox.contract import processing_seconds

_PENDING_SECONDS = (1.0, 3.0)
"""The contract gives no time for `pending`; one second is enough for clients to observe the state."""


@dataclass(frozen=True)
class Failure:
    """Why a generation ends without a video."""

    code: str
    message: str


@dataclass(frozen=True)
class Delivery:
    """How the callback is delivered; times are in real seconds."""

    copies: int = 1
    delay_seconds: float = 0.0
    after_another_seconds: float = 0.0
    """Maximum time to wait for another generation's callback to be sent first."""
    before_answer: bool = False
    """Whether the response to the submission waits until the callback has been delivered."""
    forged: int = 0
    """Number of forged callbacks posted before the generation ends."""


@dataclass(frozen=True)
class Fate:
    """The course of one generation; times are in real seconds, with the speed applied."""

    pending_seconds: float
    processing_seconds: float
    failure: Failure | None = None
    videos: int = 1
    delivery: Delivery = field(default_factory=Delivery)


def default_fate(request: str, *, duration: int, speed: float) -> Fate:
    """Return the course of a generation without faults.

    It depends on the request alone, so that the order of submissions does not change it.
    """
    chance = Random(request)  # noqa: S311 -- not used for security
    return Fate(
        pending_seconds=chance.uniform(*_PENDING_SECONDS) / speed,
        processing_seconds=chance.uniform(*processing_seconds(duration)) / speed,
    )
