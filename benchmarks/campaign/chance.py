"""The random choices of a campaign: how productions and runs differ, and when to interrupt a run."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from prefect_seedance.options import Waiting

_TRIGGERS: Mapping[str, int] = {
    "time": 3,
    "accepted": 4,
    "intent.json": 2,
    "accepted.json": 2,
    "outcome.json": 1,
    "clip-*.mp4": 3,
    "clip.json": 2,
    "manifest.json": 1,
}
"""Weights of the triggers for an interruption; steps near submitting and archiving weigh most."""

_RUN_SECONDS = 6.0
"""Duration of a run on an idle machine; a random time below it can be anywhere in the run."""

_GRACEFUL = 0.15
"""Probability of SIGTERM instead of SIGKILL."""

_RIVAL = 0.1
"""Probability that two runs work on a production concurrently."""

_EDIT = {True: 0.6, False: 0.1}
"""Probability that the author edits the clip list after a run was killed, if clips are paid and not archived,
and if none is. After the first such run, the author always does."""

_RESOLVE_FIRST = 0.5
"""Probability that the operator resolves open submissions of a killed run before the next run."""

_KILL_RECEIVER = 0.3
"""Probability that the receiver dies with a run that is killed."""

_WAITING = Waiting(deadline_seconds=40, timeout_seconds=1.5, first_poll_seconds=0.2, poll_every_seconds=0.2)

_LONG_PAUSE = 0.5
"""Probability that a run is suspended until others may resolve its open submissions."""

Kind = Literal["usual", "no wait", "hasty", "time limit", "pause"]

_KINDS: tuple[Kind, ...] = ("usual", "usual", "usual", "usual", "no wait", "hasty", "time limit", "pause")


@dataclass(frozen=True)
class Setting:
    """How a production differs from others.

    Attributes:
        in_bucket: Whether its archive is a bucket instead of a folder.
        has_callbacks: Whether a receiver serves it.
        rescues: Whether its runs archive the clips of edited prompts; otherwise only the command does.
    """

    in_bucket: bool
    has_callbacks: bool
    rescues: bool

    @classmethod
    def of(cls, number: int, *, seed: int) -> "Setting":
        """Return the setting of a production; of each eight in a row, all are different."""
        settings = list(range(8))
        Random(f"{seed} settings {number // 8}").shuffle(settings)  # noqa: S311 -- must be repeatable
        drawn = settings[number % 8]
        return cls(in_bucket=drawn < 2, has_callbacks=drawn % 2 == 0, rescues=drawn % 4 < 2)


@dataclass(frozen=True)
class Moment:
    """When to interrupt a run.

    Attributes:
        trigger: What to observe: seconds since the start, accepted generations, or files of this name.
        growth: How much it must have grown.
        delay_seconds: Time between that growth and the interruption.
        signal: What to send: SIGKILL, SIGTERM as people and schedulers do, or SIGSTOP.
    """

    trigger: str
    growth: float
    delay_seconds: float
    signal: signal.Signals

    @classmethod
    def draw(cls, chance: Random, *, missing: int, suspends: bool = False) -> "Moment":
        """Draw a moment in a run with this many missing clips."""
        (trigger,) = chance.choices(list(_TRIGGERS), weights=list(_TRIGGERS.values()))
        ends = signal.SIGTERM if chance.random() < _GRACEFUL else signal.SIGKILL
        sends = signal.SIGSTOP if suspends else ends
        if trigger == "time":
            return cls(trigger, chance.uniform(0.3, _RUN_SECONDS), delay_seconds=0, signal=sends)
        growth = 1 if trigger == "manifest.json" else chance.randint(1, max(1, missing * 3 // 4))
        delay_seconds = chance.choice((0, 0, 0.01, 0.05, 0.3)) * chance.random()
        return cls(trigger, growth, delay_seconds=delay_seconds, signal=sends)


@dataclass(frozen=True)
class Pause:
    """How long a run is suspended.

    Attributes:
        is_long: Whether to wait until its open submissions may be resolved, and resolve them.
        rival_seconds: How long another run works after that, while the first is suspended.
    """

    is_long: bool
    rival_seconds: float


@dataclass(frozen=True)
class TimeLimit:
    """The `timeout_seconds` of a flow of the user's own, and whether its function is async."""

    seconds: float
    is_async: bool


@dataclass(frozen=True)
class RunPlan:
    """How to run a production once.

    Attributes:
        moment: When to interrupt the run; None to let it end.
        rivals: Runs that work on the production concurrently.
    """

    waiting: Waiting = _WAITING
    moment: Moment | None = None
    rivals: int = 0
    pause: Pause | None = None
    time_limit: TimeLimit | None = None


@dataclass
class Chance:
    """The choices of one production, in order."""

    random: Random
    has_prefect: bool
    _kinds: list[Kind] = field(default_factory=list)
    _has_edited: bool = False

    def plan_run(self, *, missing: int, may_kill: bool) -> RunPlan:
        """Draw how to run a production that lacks this many clips."""
        random, kind = self.random, self._next_kind()
        if kind == "pause":
            pause = Pause(is_long=random.random() < _LONG_PAUSE, rival_seconds=random.uniform(0.5, 5))
            return RunPlan(moment=Moment.draw(random, missing=missing, suspends=True), pause=pause)
        moment = Moment.draw(random, missing=missing) if may_kill else None
        if kind == "time limit" and self.has_prefect:
            limit = TimeLimit(seconds=random.uniform(0.5, _RUN_SECONDS), is_async=random.random() < 0.5)
            return RunPlan(moment=moment, time_limit=limit)
        changes: Mapping[Kind, Mapping[str, object]] = {
            "no wait": {"wait": False},
            "hasty": {"deadline_seconds": random.uniform(0.5, _RUN_SECONDS)},
        }
        # No rival when stopping: either run may print the manifest that the other stored last.
        is_alone = moment is not None and moment.signal == signal.SIGTERM
        return RunPlan(
            waiting=_WAITING.model_copy(update=dict(changes.get(kind, {}))),
            moment=moment,
            rivals=0 if is_alone or random.random() > _RIVAL else 1,
        )

    def resolves_first(self) -> bool:
        """Draw whether the operator resolves open submissions before the next run."""
        return self.random.random() < _RESOLVE_FIRST

    def kills_receiver(self) -> bool:
        """Draw whether the receiver dies with a run."""
        return self.random.random() < _KILL_RECEIVER

    def edits(self, *, is_paid: bool) -> int:
        """Draw how often the author edits the clip list before the next run."""
        edits = not self._has_edited or self.random.random() < _EDIT[is_paid]
        self._has_edited = True
        return self.random.randint(1, 3) if edits else 0

    def _next_kind(self) -> Kind:
        """Deal the kinds of runs, so that even a few runs differ."""
        if not self._kinds:
            self._kinds = self.random.sample(_KINDS, len(_KINDS))
        return self._kinds.pop()
