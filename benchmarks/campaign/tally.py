"""The remaining work of a campaign, its figures and its violations."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from benchmarks.campaign.clip_list import CLIPS


@dataclass
class Tally:
    """The remaining work and the counters, shared by all workers."""

    clips: int
    kills: int
    started_at: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    started: int = 0
    kills_given: int = 0

    def take(self, chance: Random) -> tuple[int, int] | None:
        """Return the number of the next production and its kills, or None if no work is left."""
        with self.lock:
            productions, kills = self.clips // CLIPS - self.started, self.kills - self.kills_given
            if productions <= 0 and kills <= 0:
                return None
            share = kills / max(productions, 1)
            given = min(kills, round(chance.uniform(0.5, 1.5) * share + chance.random() - 0.5))
            given = max(given, min(kills, 4) if productions <= 1 else 0)
            self.started += 1
            self.kills_given += given
            return self.started, given

    def return_kills(self, kills: int) -> None:
        """Return unused kills."""
        with self.lock:
            self.kills_given -= kills

    def count(self, **more: int) -> None:
        """Add to the counters."""
        with self.lock:
            self.counts.update(more)

    def record(self, production: str, found: Iterator[str]) -> None:
        """Record violations."""
        with self.lock:
            for violation in found:
                self.violations.append(f"{production}: {violation}")
                print(f"VIOLATION {production}: {violation}", file=sys.stderr, flush=True)

    def figures(self) -> dict[str, object]:
        """Return the figures to print."""
        return {
            "seconds": round(time.monotonic() - self.started_at),
            **self.counts,
            "violations": len(self.violations),
        }
