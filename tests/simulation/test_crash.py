"""One clip, whose run is killed at every step of its event loop."""

import pytest

from tests.simulation.api import ACCEPTED, BUSY, Reply
from tests.simulation.invariants import Attempts, Fence, at_every_step, check_finished
from tests.simulation.runs import CLIP, Simulation

CRASHES = [
    pytest.param(ACCEPTED, True, id="accepted, requests arrive"),
    pytest.param(ACCEPTED, False, id="accepted, requests vanish"),
    pytest.param(BUSY, True, id="429 first"),
]


@pytest.mark.parametrize(("first", "arrives"), CRASHES)
def test_killed_anywhere(first: Reply, arrives: bool) -> None:  # noqa: FBT001 -- pytest passes it
    """Whatever a run that is killed at any step had bought is archived later, and bought once."""

    def kill(step: int) -> bool:
        with Simulation() as simulation:
            simulation.api.reply = lambda number: ACCEPTED if number else first
            fence = Fence(simulation)
            process = simulation.start()
            process.on_step = lambda: process.kill(arrives=arrives) if process.steps == step else None
            simulation.finish(process)
            if not process.is_dead:
                return False
            simulation.world.pass_time(1)
            assert not simulation.api.posts or Attempts(simulation).intents(CLIP.prompt), "no record"
            check_finished(simulation, fence)
            return True

    print(f"killed at {at_every_step(kill)} steps")  # noqa: T201 -- the size of the proof
