"""How a generation will go, decided when it is accepted."""

from dataclasses import dataclass, field
from random import Random

from prefect_seedance.sandbox.contract import PROCESSING_SECONDS

# The contract says nothing of the time before processing; a moment shows clients that the state exists.
_PENDING_SECONDS = (1.0, 3.0)


@dataclass(frozen=True)
class Failure:
    """Why a generation ends without a video."""

    code: str
    message: str


@dataclass(frozen=True)
class Delivery:
    """How the callback travels; times are in real seconds."""

    copies: int = 1
    delay_seconds: float = 0.0
    after_another_seconds: float = 0.0
    """For how long to let another generation's callback go first."""
    before_answer: bool = False
    """Whether the answer to the submit waits until the callback has been delivered."""
    forged: int = 0
    """How many posts somebody else sends to the callback's address before the generation has ended."""


@dataclass(frozen=True)
class Fate:
    """The course of one generation; times are in real seconds, speed applied."""

    pending_seconds: float
    processing_seconds: float
    failure: Failure | None = None
    videos: int = 1
    delivery: Delivery = field(default_factory=Delivery)


def foresee(asked: str, *, duration: int, speed: float) -> Fate:
    """Return the course of a generation when nothing goes wrong.

    It depends on nothing but what was asked, so that the order in which clips arrive changes nothing.
    """
    chance = Random(asked)  # noqa: S311  # nothing secret
    return Fate(
        pending_seconds=chance.uniform(*_PENDING_SECONDS) / speed,
        processing_seconds=chance.uniform(*PROCESSING_SECONDS[duration]) / speed,
    )
