"""One clip, whose run is paused at every step of its event loop, while its author finishes the clip."""

import pytest

from prefect_seedance.options import RetryPolicy
from tests.simulation.api import ACCEPTED, BUSY, Reply
from tests.simulation.invariants import Fence, at_every_step, check_finished
from tests.simulation.runs import Choices, Simulation

_HOUR = 3600.0
_RESUBMIT = Choices(policy=RetryPolicy(on_unresolved="resubmit"))

PAUSES = [
    pytest.param(ACCEPTED, _HOUR, False, id="stopped for an hour"),
    pytest.param(ACCEPTED, _HOUR, True, id="asleep for an hour"),
    pytest.param(BUSY, 100.0, False, id="stopped for 100 s, 429 first"),
    pytest.param(BUSY, _HOUR, True, id="asleep for an hour, 429 first"),
]


@pytest.mark.parametrize(("first", "seconds", "sleeps"), PAUSES)
def test_paused_anywhere(first: Reply, seconds: float, sleeps: bool) -> None:  # noqa: FBT001 -- likewise
    """A run that continues after a pause sends nothing that another run may have bought meanwhile."""

    def pause(step: int) -> bool:
        with Simulation() as simulation:
            simulation.api.reply = lambda number: ACCEPTED if number else first
            fence = Fence(simulation)
            process = simulation.start()
            process.on_step = lambda: process.pause(seconds, sleeps=sleeps) if process.steps == step else None
            simulation.world.run(lambda: process.is_paused or process.has_ended)
            if process.has_ended:
                return False
            process.on_step = lambda: None
            simulation.heal()
            simulation.finish(process)
            check_finished(simulation, fence)
            return True

    print(f"paused at {at_every_step(pause)} steps")  # noqa: T201 -- the size of the proof


def test_late_answer_counts() -> None:
    """A video whose id a paused run learns late is archived, although a rival has paid again in vain."""

    def pause(step: int) -> bool:
        with Simulation() as simulation:
            process = simulation.start()
            process.on_step = lambda: process.pause(_HOUR) if process.steps == step else None
            simulation.world.run(lambda: process.is_paused or process.has_ended)
            if process.has_ended:
                return False
            process.on_step = lambda: None
            first = len(simulation.api.books)
            simulation.api.fails = lambda number: "GENERATION_FAILED" if number == first else ""
            simulation.make(_RESUBMIT)
            simulation.finish(process)
            error = simulation.heal()
            is_recorded = any(map(simulation.is_recorded, list(simulation.api.books)[:first]))
            assert error is None or not is_recorded, f"a paid video is left behind: {error}"
            return True

    print(f"paused at {at_every_step(pause)} steps")  # noqa: T201 -- the size of the proof
