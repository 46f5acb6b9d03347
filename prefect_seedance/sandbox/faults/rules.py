"""The rules that decide when a fault occurs."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from prefect_seedance.sandbox.clock import now
from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.generation import Generation

Kind = Literal["submit", "status", "file", "generation", "callback", "balance"]


@dataclass(frozen=True)
class Subject:
    """The request or generation that a rule is matched against."""

    kind: Kind
    clip: str = ""
    """The clip's prompt."""
    state: str = "pending"
    age_seconds: float | None = None
    """Seconds since the generation was accepted, if there is one."""
    model: str = ""

    @classmethod
    def of(cls, kind: Kind, generation: Generation | None) -> Self:
        """Describe a generation, if there is one."""
        if generation is None:
            return cls(kind)
        return cls(kind, generation.prompt, generation.state, generation.age_seconds, generation.model)


class Selector(BaseModel):
    """The part of a rule that selects where and when the fault occurs; times are in real seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Annotated[
        Kind,
        Field(
            description="What the fault changes: the response to a request (submit, status, file), the fate "
            "of a generation, or its callback."
        ),
    ]
    model: Annotated[str, Field(description="Id of the model. Default: any model.")] = ""
    clip: Annotated[str, Field(description="Text that the clip's prompt contains. Default: any prompt.")] = ""
    state: Annotated[
        Literal["pending", "processing", "success", "failed"] | None,
        Field(description="State of the generation, for status only. Default: any state."),
    ] = None
    since: Annotated[
        Literal["start", "acceptance"],
        Field(
            description="When the seconds begin: with the plan, or with the acceptance of the generation, "
            "for status and file only."
        ),
    ] = "start"
    after_seconds: Annotated[float, Field(ge=0, description="Seconds until the rule applies.")] = 0.0
    until_seconds: Annotated[
        float | None, Field(gt=0, description="Seconds until the rule no longer applies. Default: no end.")
    ] = None
    share: Annotated[
        float, Field(gt=0, le=1, description="Probability that a match counts; it depends on the seed.")
    ] = 1.0
    nth: Annotated[
        int | None, Field(ge=1, description="The only match that has the fault, counted from 1.")
    ] = None
    times: Annotated[
        int | None, Field(ge=1, description="How many matches have the fault. Default: all of them.")
    ] = None
    each_clip: Annotated[
        bool, Field(description="Count the matches of each clip separately, for nth and times.")
    ] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nth is not None and self.times is not None:
            raise PydanticCustomError("ordinal", "nth and times cannot be combined")
        if self.state is not None and self.kind != "status":
            raise PydanticCustomError("state", "state is allowed for status only")
        if self.since == "acceptance" and self.kind not in ("status", "file"):
            raise PydanticCustomError("since", "since: acceptance is allowed for status and file only")
        return self

    def matches(self, subject: Subject, *, started_at: float) -> bool:
        """Return whether kind, model, clip, state and time match."""
        age = now() - started_at if self.since == "start" else subject.age_seconds
        return (
            subject.kind == self.kind
            and self.clip in subject.clip
            and self.model in ("", subject.model)
            and self.state in (None, subject.state)
            and age is not None
            and self.after_seconds <= age < (self.until_seconds or float("inf"))
        )

    def includes(self, number: int) -> bool:
        """Return whether the fault occurs at this match, counted from 1."""
        if self.nth is not None:
            return number == self.nth
        return self.times is None or number <= self.times


@dataclass
class Rule:
    """A selector with its fault and its counters."""

    selector: Selector
    name: str
    fault: Fault
    started_at: float = field(default_factory=now)
    triggered: int = 0
    _matched: Counter[str] = field(default_factory=Counter)
    _drawn: Counter[str] = field(default_factory=Counter)

    def triggers(self, subject: Subject, *, seed: str) -> bool:
        """Count a match, and return whether the fault occurs."""
        if (
            not self.selector.matches(subject, started_at=self.started_at)
            or subject.state not in self.fault.states
        ):
            return False
        self._matched[subject.clip] += 1
        # Drawn for each clip separately, so that the order of clips does not matter.
        drawn = f"{seed} {subject.clip!a} {self._matched[subject.clip]}"
        if Random(drawn).random() >= self.selector.share:  # noqa: S311 -- not used for security
            return False
        counter = subject.clip if self.selector.each_clip else ""
        self._drawn[counter] += 1
        occurs = self.selector.includes(self._drawn[counter])
        self.triggered += occurs
        return occurs

    def report(self) -> dict[str, object]:
        """Return the rule as written, with the number of times it triggered."""
        written = self.selector.model_dump(exclude_unset=True) | {"fault": self.name}
        return written | self.fault.model_dump(exclude_unset=True) | {"triggered": self.triggered}

    def restart(self) -> None:
        """Reset the counters and the start time."""
        self.started_at, self.triggered = now(), 0
        self._matched.clear()
        self._drawn.clear()
