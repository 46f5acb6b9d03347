"""Clocks that jump or differ, and deadlines at any time."""

from pathlib import Path

import pytest

import prefect_seedance
from tests.simulation.invariants import Fence, at_every_step, check_finished
from tests.simulation.runs import Choices, Simulation

_HOUR = 3600.0


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
            check_finished(simulation, fence)
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
            check_finished(simulation, fence)
            return True

    print(f"killed at {at_every_step(kill)} steps")  # noqa: T201 -- the size of the proof


def test_deadline_anywhere() -> None:
    """A run ends soon after its deadline, wherever that comes, and a later run finishes the clip."""
    deadlines = [number / 40 for number in range(80)] + [float(number) for number in range(2, 60)]

    for deadline in deadlines:
        with Simulation() as simulation:
            fence = Fence(simulation)
            simulation.make(Choices(deadline_seconds=deadline))
            check_finished(simulation, fence)


@pytest.mark.parametrize("package", ["api", "clips"])
def test_time_is_read_in_one_place(package: str) -> None:
    """No step reads the time of day anywhere else, so that the simulation sets every clock."""
    modules = (Path(prefect_seedance.__file__).parent / package).glob("*.py")

    readers = {module.name for module in modules if "datetime.now" in module.read_text()}
    assert readers <= {"wall_clock.py"}
