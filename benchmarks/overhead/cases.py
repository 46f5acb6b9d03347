"""What is measured: programs, numbers of clips, and how long the scripted API takes for one."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.overhead.contenders import CONTENDERS

_SLOTS = 1_000
_REQUESTS_PER_MINUTE = 10_000
"""An account's limits."""

SIZES: Mapping[str, tuple[int, int]] = {"480p": (864, 496), "720p": (1280, 720)}
"""Width and height of each resolution."""


@dataclass(frozen=True)
class Case:
    """One program that makes clips.

    Attributes:
        contender: Its name.
        shortest: Seconds of the shortest generation.
        longest: Seconds of the longest one.
        duration: Of a clip, in seconds.
    """

    contender: str
    clips: int
    shortest: float = 50.0
    longest: float = 60.0
    resolution: str = "480p"
    duration: int = 4

    @property
    def ideal_seconds(self) -> float:
        """The shortest makespan that the account's limits allow: all clips in flight as soon as possible."""
        at_once = min(self.clips, _SLOTS)
        later = (self.clips - at_once) * (self.shortest + self.longest) / 2 / _SLOTS
        return 60 * at_once / _REQUESTS_PER_MINUTE + later + self.longest


def quick(clips: int = 60, longest: float = 12.0, *, contenders: tuple[str, ...] = ()) -> list[Case]:
    """Return a case for each of the contenders; by default, for all."""
    return [Case(name, clips, longest * 5 / 6, longest) for name in contenders or CONTENDERS]


ROUND = [
    *(Case(name, 200) for name in ("floor", "usual", "flow", "flow-full", "flow-callbacks")),
    *(Case(name, 1_000) for name in ("floor", "usual", "plain", "plain-full", "flow")),
]
"""What the full benchmark repeats."""

ONCE = [
    *(Case("plain", clips, 8.0, 10.0) for clips in (10, 100, 10_000)),
    *(Case(name, 60, 10.0, 12.0, "720p", 12) for name in ("plain", "plain-full")),
]
"""What the full benchmark measures once: growth, and longer clips in more pixels."""
