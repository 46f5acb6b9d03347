"""Faults of generations and of their callbacks."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from prefect_seedance.sandbox.fate import Delivery, Failure, Fate
from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.faults.responses import Seconds


class Fail(Fault):
    """Fail the generation, with any code."""

    code: Annotated[str, Field(min_length=1)]
    message: str = "a scripted fault"

    def alter_fate(self, fate: Fate) -> Fate:
        """Set the failure."""
        return replace(fate, failure=Failure(self.code, self.message))


class TakeLonger(Fault):
    """Multiply the processing time."""

    factor: Annotated[float, Field(gt=0)]

    def alter_fate(self, fate: Fate) -> Fate:
        """Set the processing time."""
        return replace(fate, processing_seconds=fate.processing_seconds * self.factor)


class NeverEnd(Fault):
    """Stay in processing forever."""

    def alter_fate(self, fate: Fate) -> Fate:
        """Set an infinite processing time."""
        return replace(fate, processing_seconds=float("inf"))


class TwoUrls(Fault):
    """Succeed with two results."""

    def alter_fate(self, fate: Fate) -> Fate:
        """Set two videos."""
        return replace(fate, videos=2)


class Never(Fault):
    """Deliver no callback."""

    def alter_fate(self, fate: Fate) -> Fate:
        """Set no copies."""
        return replace(fate, delivery=Delivery(copies=0))


class Twice(Fault):
    """Deliver the callback twice."""

    def alter_fate(self, fate: Fate) -> Fate:
        """Set two copies."""
        return replace(fate, delivery=Delivery(copies=2))


class Late(Fault):
    """Deliver the callback late."""

    seconds: Seconds

    def alter_fate(self, fate: Fate) -> Fate:
        """Set the delay."""
        return replace(fate, delivery=Delivery(delay_seconds=self.seconds))


class Reorder(Fault):
    """Wait for the callback of another generation and deliver after it, if one is sent in time."""

    at_most_seconds: Annotated[float, Field(gt=0)] = 30.0

    def alter_fate(self, fate: Fate) -> Fate:
        """Set the maximum wait."""
        return replace(fate, delivery=Delivery(after_another_seconds=self.at_most_seconds))


class BeforeAnswer(Fault):
    """Respond to the submission only after the generation has ended and its callback is delivered."""

    def alter_fate(self, fate: Fate) -> Fate:
        """Delay the response."""
        return replace(fate, delivery=Delivery(before_answer=True))


class Forge(Fault):
    """Post forged callbacks that report success before the generation ends, as an attacker could."""

    posts: Annotated[int, Field(ge=1)] = 1

    def alter_fate(self, fate: Fate) -> Fate:
        """Set the number of forged callbacks."""
        return replace(fate, delivery=Delivery(forged=self.posts))
