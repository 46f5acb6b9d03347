"""What holds in every simulation, whatever happens to the processes."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.api import Post, Sold
from tests.simulation.clock import Process
from tests.simulation.runs import CLIP, REQUEST_SECONDS, Simulation

_SHOWN = 5


@dataclass
class Attempts:
    """The ledger's records as stored, without the product's code."""

    simulation: Simulation

    def intents(self, prompt: str) -> dict[str, dict[str, Any]]:
        """Return the intents for a prompt by the prefix of their attempts, the oldest first."""
        found = {}
        for key, content in sorted(self.simulation.bucket.objects.items()):
            if key.endswith("/intent.json"):
                intent = json.loads(content)
                if intent["request"]["input"]["prompt"] == prompt:
                    found[key.removesuffix("intent.json")] = intent
        return found

    def undecided(self, prompt: str) -> list[str]:
        """Return the attempts with neither an answer nor an outcome."""
        names = ("accepted.json", "outcome.json")
        objects = self.simulation.bucket.objects
        return [key for key in self.intents(prompt) if not any(key + name in objects for name in names)]


@dataclass
class Fence:
    """Notes each submission that leaves when its claim has expired, or without a claim.

    A rival may declare a claim lost after `settles_by`. A request may take its whole bound, so it has to
    leave that much earlier: by the clock of its process, and within as much true time.
    """

    simulation: Simulation
    late: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.simulation.api.on_send = self._check

    def _check(self, post: Post) -> None:
        claims = [
            (key, intent)
            for key, intent in Attempts(self.simulation).intents(post.prompt).items()
            if intent["asked_by"].endswith(post.process)
        ]
        if not claims:
            self.late.append(f"{post.process} sent without a claim")
            return
        key, intent = claims[-1]
        asked_at, settles_by = (datetime.fromisoformat(intent[name]) for name in ("asked_at", "settles_by"))
        bound = timedelta(seconds=REQUEST_SECONDS)
        claimed = self.simulation.bucket.created[f"{key}intent.json"]
        elapsed = timedelta(seconds=post.at - claimed)
        if post.time_of_day > settles_by - bound or elapsed > settles_by - asked_at - bound:
            self.late.append(
                f"{post.process} sent {elapsed} after its claim, {post.time_of_day - asked_at} by its clock"
            )


def is_known(simulation: Simulation, sold: Sold, *processes: Process) -> bool:
    """Return whether the ledger or what the processes said names a generation."""
    said = [text for process in processes for text in (*process.log, str(process.error))]
    return simulation.is_recorded(sold.generation_id) or any(sold.generation_id in text for text in said)


def check_finished(simulation: Simulation, fence: Fence, *, permissions: int = 1) -> None:
    """Finish the clip, and check that it is archived and paid for once, and that nothing was late."""
    error = simulation.heal()
    assert simulation.is_archived(), f"not archived: {error!r}"
    sold = simulation.api.sold(CLIP.prompt)
    assert not simulation.api.violations
    assert len(sold) <= permissions, f"bought {len(sold)} times with {permissions} permissions"
    unhandled = [text for process in simulation.world.processes for text in process.unhandled]
    assert not unhandled, unhandled
    assert not simulation.overdue, "; ".join(simulation.overdue)
    assert not fence.late, "; ".join(fence.late)


def at_every_step(try_at: Callable[[int], bool]) -> int:
    """Try something at step 0, 1, 2 … of a run, and return the number of steps.

    Args:
        try_at: Called with the number of the step; returns whether the run got there.
    """
    failures: list[str] = []
    for step in itertools.count():
        try:
            if not try_at(step):
                break
        except AssertionError as error:
            failures.append(f"step {step}: {str(error).partition(chr(10))[0]}")
    assert not failures, f"{len(failures)} of {step} steps fail. " + "\n".join(failures[:_SHOWN])
    return step
