"""Clocks that jump or differ, and deadlines at any time."""

import pytest

from prefect_seedance.options import RetryPolicy
from tests.simulation.api import ACCEPTED, Reply
from tests.simulation.invariants import Fence, at_every_step, check
from tests.simulation.runs import Choices, Simulation

_HOUR = 3600.0
_RESUBMIT = Choices(policy=RetryPolicy(on_unresolved="resubmit"))

_DIFFERENCE_SECONDS = 4.0
"""How far the clocks of machines differ that keep time with NTP, and more."""


@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR], ids=["forward", "back"])
def test_clock_jumps_anywhere(seconds: float) -> None:
    """A run whose wall clock jumps at any step ends, pays once, and sends nothing too late."""

    def jump(step: int) -> bool:
        with Simulation() as simulation:
            fence = Fence(simulation)
            process = simulation.start()
            jumps: list[int] = []

            def turn() -> None:
                if process.steps == step:
                    jumps.append(step)
                    process.ahead_seconds += seconds

            process.on_step = turn
            simulation.finish(process)
            if not jumps:
                return False
            simulation.heal()
            check(simulation, fence)
            return True

    print(f"clock set at {at_every_step(jump)} steps")  # noqa: T201 -- the size of the proof


@pytest.mark.parametrize("ahead_seconds", [3 * _HOUR, -3 * _HOUR], ids=["ahead", "behind"])
def test_killed_with_wrong_clock(ahead_seconds: float) -> None:
    """What a killed run left can be resolved soon, although its clock was three hours wrong."""

    def kill(step: int) -> bool:
        with Simulation() as simulation:
            fence = Fence(simulation)
            process = simulation.start(ahead_seconds=ahead_seconds)
            process.on_step = lambda: process.kill() if process.steps == step else None
            simulation.finish(process)
            if not process.is_dead:
                return False
            simulation.heal()
            check(simulation, fence)
            return True

    print(f"killed at {at_every_step(kill)} steps")  # noqa: T201 -- the size of the proof


@pytest.mark.parametrize("ahead_seconds", [_DIFFERENCE_SECONDS, -_DIFFERENCE_SECONDS], ids=["ahead", "behind"])
def test_rival_starts_anywhere(ahead_seconds: float) -> None:
    """A rival that may resubmit, and whose clock differs a little, leaves a slow submission alone."""

    def start(step: int) -> bool:
        with Simulation() as simulation:
            simulation.api.reply = lambda number: ACCEPTED if number else Reply(seconds=55)
            fence = Fence(simulation)
            process = simulation.start()
            simulation.world.run(lambda: process.steps == step or process.has_ended)
            if process.has_ended:
                return False
            rival = simulation.make(_RESUBMIT, ahead_seconds=ahead_seconds)
            simulation.finish(process)
            assert (process.error, rival.error) == (None, None)
            check(simulation, fence)
            return True

    print(f"rival started at {at_every_step(start)} steps")  # noqa: T201 -- the size of the proof


def test_deadline_anywhere() -> None:
    """A run ends soon after its deadline, wherever that comes, and a later run finishes the clip."""
    deadlines = [number / 40 for number in range(80)] + [float(number) for number in range(2, 60)]

    for deadline in deadlines:
        with Simulation() as simulation:
            fence = Fence(simulation)
            simulation.make(Choices(deadline_seconds=deadline))
            simulation.heal()
            check(simulation, fence)
