"""One clip, whose run is cancelled at every step of its event loop, once or again and again."""

from collections.abc import Callable

import pytest

from tests.simulation.api import ACCEPTED, BUSY, LATE
from tests.simulation.clock import Process
from tests.simulation.invariants import Attempts, Fence, at_every_step, check_finished, is_known
from tests.simulation.runs import CLIP, Simulation
from tests.simulation.store import Trouble

_STOPPING_SECONDS = 75.0
"""A cancelled run ends within this time: it waits for an answer, and tries to record it for a minute."""

Script = Callable[[Simulation], None]


def prompt(_: Simulation) -> None:
    """Let API and bucket answer promptly."""


def slow_api(simulation: Simulation) -> None:
    """Let the API accept, and answer after twenty seconds."""
    simulation.api.reply = lambda _: LATE


def busy_api(simulation: Simulation) -> None:
    """Let the API answer 429 once."""
    simulation.api.reply = lambda number: ACCEPTED if number else BUSY


def slow_bucket(simulation: Simulation) -> None:
    """Let the bucket need four seconds for every record."""
    simulation.bucket.trouble = lambda operation, _: Trouble(seconds=4) if operation == "create" else None


def full_disk(simulation: Simulation) -> None:
    """Let the disk be full for the first ten seconds in which an acceptance could be recorded."""

    def trouble(operation: str, key: str) -> Trouble | None:
        is_full = operation == "create" and key.endswith("accepted.json") and simulation.world.now < 10
        return Trouble(fails="before") if is_full else None

    simulation.bucket.trouble = trouble


def cancelled_at(simulation: Simulation, step: int, *, often: bool) -> Process | None:
    """Run a clip and cancel it at a step; return None if the run has fewer steps."""
    process = simulation.start()
    stopped_at: list[float] = []

    def cancel() -> None:
        if process.steps == step or (often and process.steps > step):
            stopped_at.append(simulation.world.now)
            process.cancel()

    process.on_step = cancel
    simulation.finish(process)
    if not stopped_at:
        return None
    took = simulation.world.now - stopped_at[0]
    assert took < _STOPPING_SECONDS, f"took {took:.0f} s to stop"
    return process


@pytest.mark.parametrize("often", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("script", [prompt, slow_api, busy_api, slow_bucket, full_disk])
def test_cancelled_anywhere(script: Script, often: bool) -> None:  # noqa: FBT001 -- pytest passes it
    """A run that is cancelled at any step forgets no id, leaves no claim in doubt, and pays once."""

    def cancel(step: int) -> bool:
        with Simulation() as simulation:
            script(simulation)
            fence = Fence(simulation)
            process = cancelled_at(simulation, step, often=often)
            if process is None:
                return False
            books = simulation.api.books.values()
            assert all(is_known(simulation, sold, process) for sold in books), "an id is lost"
            if not simulation.api.posts:
                assert not Attempts(simulation).undecided(CLIP.prompt), "unresolved, but nothing was sent"
            check_finished(simulation, fence)
            return True

    print(f"cancelled at {at_every_step(cancel)} steps")  # noqa: T201 -- the size of the proof
