"""Faults of a generation's course, and of its callback."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from prefect_seedance.sandbox.fate import Delivery, Failure, Fate
from prefect_seedance.sandbox.faults.answers import Seconds
from prefect_seedance.sandbox.faults.fault import Fault


class Fail(Fault):
    """End as failed, with any code."""

    code: Annotated[str, Field(min_length=1)]
    message: str = "a scripted fault"

    def foretell(self, fate: Fate) -> Fate:
        """Decide for failure."""
        return replace(fate, failure=Failure(self.code, self.message))


class TakeLonger(Fault):
    """Take many times as long as usual."""

    factor: Annotated[float, Field(gt=0)]

    def foretell(self, fate: Fate) -> Fate:
        """Stretch the processing."""
        return replace(fate, processing_seconds=fate.processing_seconds * self.factor)


class NeverEnd(Fault):
    """Stay in processing for good."""

    def foretell(self, fate: Fate) -> Fate:
        """Let it go on."""
        return replace(fate, processing_seconds=float("inf"))


class TwoUrls(Fault):
    """End with two results."""

    def foretell(self, fate: Fate) -> Fate:
        """Decide for two videos."""
        return replace(fate, videos=2)


class Never(Fault):
    """Deliver no callback."""

    def foretell(self, fate: Fate) -> Fate:
        """Keep it."""
        return replace(fate, delivery=Delivery(copies=0))


class Twice(Fault):
    """Deliver the callback twice."""

    def foretell(self, fate: Fate) -> Fate:
        """Copy it."""
        return replace(fate, delivery=Delivery(copies=2))


class Late(Fault):
    """Deliver the callback late."""

    seconds: Seconds

    def foretell(self, fate: Fate) -> Fate:
        """Hold it back."""
        return replace(fate, delivery=Delivery(delay_seconds=self.seconds))


class Reorder(Fault):
    """Let the callback of a generation that ended later go first, if one comes in time."""

    at_most_seconds: Annotated[float, Field(gt=0)] = 30.0

    def foretell(self, fate: Fate) -> Fate:
        """Let another go first."""
        return replace(fate, delivery=Delivery(after_another_seconds=self.at_most_seconds))


class BeforeAnswer(Fault):
    """Answer the submit only after the generation has ended and its callback is delivered."""

    def foretell(self, fate: Fate) -> Fate:
        """Let the callback overtake the answer."""
        return replace(fate, delivery=Delivery(before_answer=True))


class Forge(Fault):
    """Let somebody who knows the callback's address post that all is over, long before it is."""

    posts: Annotated[int, Field(ge=1)] = 1

    def foretell(self, fate: Fate) -> Fate:
        """Let the forger go first."""
        return replace(fate, delivery=Delivery(forged=self.posts))
