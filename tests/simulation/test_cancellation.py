"""One clip, whose run is cancelled at every step of its event loop, once or again and again."""

import pytest

from tests.simulation.api import ACCEPTED, BUSY, GARBLED, POOR, UNREACHABLE, Reply
from tests.simulation.clock import Process
from tests.simulation.invariants import Attempts, Fence, at_every_step, check, unknown
from tests.simulation.runs import CLIP, Simulation

_STOPPING_SECONDS = 30.0
"""A cancelled run ends within this time, if API and archive answer promptly."""

REPLIES = [
    pytest.param(ACCEPTED, id="accepted"),
    pytest.param(Reply(seconds=1.5), id="slow"),
    pytest.param(BUSY, id="429 first"),
    pytest.param(UNREACHABLE, id="unreachable first"),
]


def scripted(first: Reply) -> Simulation:
    """Return a simulation whose first submission gets this reply, and every other one is accepted."""
    simulation = Simulation()
    simulation.api.reply = lambda number: ACCEPTED if number else first
    return simulation


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
@pytest.mark.parametrize("first", REPLIES)
def test_cancelled_anywhere(first: Reply, often: bool) -> None:  # noqa: FBT001 -- pytest passes it
    """A run that is cancelled at any step forgets no id, claims nothing in vain, and pays once."""

    def cancel(step: int) -> bool:
        with scripted(first) as simulation:
            fence = Fence(simulation)
            process = cancelled_at(simulation, step, often=often)
            if process is None:
                return False
            books = simulation.api.books.values()
            assert not any(unknown(simulation, sold, process) for sold in books), "an id is lost"
            if not simulation.api.posts:
                assert not Attempts(simulation).undecided(CLIP.prompt), "unresolved, but nothing was sent"
            simulation.heal()
            check(simulation, fence)
            return True

    print(f"{at_every_step(cancel)} steps")  # noqa: T201 -- the size of the proof


