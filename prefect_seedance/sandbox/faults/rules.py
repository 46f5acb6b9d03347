"""Rules: which request meets which fault."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from prefect_seedance.sandbox.clock import now
from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.generation import Generation

Kind = Literal["submit", "status", "file", "generation", "callback"]


@dataclass(frozen=True)
class Subject:
    """What a rule looks at."""

    kind: Kind
    clip: str = ""
    """The clip's prompt."""
    state: str = "pending"
    age_seconds: float | None = None
    """Seconds since the generation was accepted, if there is one."""

    @classmethod
    def of(cls, kind: Kind, generation: Generation | None) -> Self:
        """Look at a generation, if there is one."""
        if generation is None:
            return cls(kind)
        return cls(kind, generation.prompt, generation.state, generation.age_seconds)


class Selector(BaseModel):
    """The part of a rule that says where and when the fault strikes; seconds are real ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind
    clip: str = ""
    state: Literal["pending", "processing", "success", "failed"] | None = None
    since: Literal["start", "acceptance"] = "start"
    after_seconds: Annotated[float, Field(ge=0)] = 0.0
    until_seconds: Annotated[float, Field(gt=0)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    nth: Annotated[int, Field(ge=1)] | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    each_clip: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nth is not None and self.times is not None:
            raise PydanticCustomError("ordinal", "nth and times exclude each other")
        if self.state is not None and self.kind != "status":
            raise PydanticCustomError("state", "state is for status only")
        if self.since == "acceptance" and self.kind not in ("status", "file"):
            raise PydanticCustomError("since", "since acceptance is for status and file only")
        return self

    def sees(self, subject: Subject, *, started_at: float) -> bool:
        """Tell whether kind, clip, state and time fit."""
        age = now() - started_at if self.since == "start" else subject.age_seconds
        return (
            subject.kind == self.kind
            and self.clip in subject.clip
            and self.state in (None, subject.state)
            and age is not None
            and self.after_seconds <= age < (self.until_seconds or float("inf"))
        )

    def counts(self, number: int) -> bool:
        """Tell whether the fault strikes at this match, counted from 1."""
        if self.nth is not None:
            return number == self.nth
        return self.times is None or number <= self.times


@dataclass
class Rule:
    """A selector, its fault, and what they have seen so far."""

    selector: Selector
    name: str
    fault: Fault
    started_at: float = field(default_factory=now)
    struck: int = 0
    _sights: Counter[str] = field(default_factory=Counter)
    _matches: Counter[str] = field(default_factory=Counter)

    def meets(self, subject: Subject, *, seed: str) -> bool:
        """Tell whether the fault strikes now, and count."""
        if (
            not self.selector.sees(subject, started_at=self.started_at)
            or subject.state not in self.fault.strikes
        ):
            return False
        self._sights[subject.clip] += 1
        # Drawn per clip, so that the order in which clips arrive changes nothing.
        drawn = f"{seed} {subject.clip!a} {self._sights[subject.clip]}"
        if Random(drawn).random() >= self.selector.share:  # noqa: S311  # nothing secret
            return False
        counter = subject.clip if self.selector.each_clip else ""
        self._matches[counter] += 1
        strikes = self.selector.counts(self._matches[counter])
        self.struck += strikes
        return strikes

    def report(self) -> dict[str, object]:
        """Return the rule as it was written, and how often it struck."""
        written = self.selector.model_dump(exclude_unset=True) | {"fault": self.name}
        return written | self.fault.model_dump(exclude_unset=True) | {"struck": self.struck}

    def restart(self) -> None:
        """Begin to count, and the time, from now."""
        self.started_at, self.struck = now(), 0
        self._sights.clear()
        self._matches.clear()
