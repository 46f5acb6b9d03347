"""One clip, in an archive that fails, lags or cannot tell two runs apart."""

import pytest

from tests.simulation.invariants import Attempts, Fence, at_every_step, check_finished, is_known
from tests.simulation.runs import CLIP, Simulation
from tests.simulation.store import Trouble

_MAX_OPERATIONS = 60
"""Two runs of one clip need fewer than 30, and one that waits reads once a second."""


@pytest.mark.parametrize("fails", ["before", "after"])
def test_any_operation_fails(fails: str) -> None:
    """A run that loses any one operation of its archive forgets no id, leaves no doubt, and pays once."""

    def fail(number: int) -> bool:
        with Simulation() as simulation:
            fence = Fence(simulation)
            simulation.bucket.trouble = lambda *_: (
                Trouble(fails=fails) if simulation.bucket.operations == number + 1 else None
            )
            process = simulation.make()
            if simulation.bucket.operations <= number:
                return False
            assert all(is_known(simulation, sold, process) for sold in simulation.api.books.values())
            if not simulation.api.posts:
                assert not Attempts(simulation).undecided(CLIP.prompt), "unresolved, but nothing was sent"
            check_finished(simulation, fence)
            return True

    print(f"{at_every_step(fail)} operations fail")  # noqa: T201 -- the size of the proof


def test_full_disk_names_id() -> None:
    """An id that cannot be recorded at all is in the log and in the error, and can be adopted later."""
    with Simulation() as simulation:
        fence = Fence(simulation)
        simulation.bucket.trouble = lambda _, key: (
            Trouble(fails="before") if key.endswith("accepted.json") else None
        )

        process = simulation.make()

        (sold,) = simulation.api.books.values()
        assert sold.generation_id in str(process.log)
        assert sold.generation_id in str(process.error)
        simulation.bucket.trouble = lambda *_: None
        check_finished(simulation, fence)


def test_slow_archive_delays() -> None:
    """Two runs whose archive takes 4 s for each operation buy the clip once."""
    with Simulation() as simulation:
        fence = Fence(simulation)
        simulation.bucket.trouble = lambda *_: Trouble(seconds=4)

        runs = [simulation.start(), simulation.start()]
        for process in runs:
            simulation.finish(process)

        check_finished(simulation, fence)


def test_lagging_list_is_patient() -> None:
    """A run that loses a claim does not spin until lists show the winner's."""
    with Simulation() as simulation:
        fence = Fence(simulation)
        simulation.bucket.lag_seconds = 5

        runs = [simulation.start(), simulation.start()]
        for process in runs:
            simulation.finish(process)

        assert simulation.bucket.operations < _MAX_OPERATIONS
        check_finished(simulation, fence)


def test_equal_claims_differ() -> None:
    """Of two runs that claim with the same words at the same time, one submits."""
    with Simulation() as simulation:
        fence = Fence(simulation)

        runs = [simulation.start(name="run"), simulation.start(name="run")]
        for process in runs:
            simulation.finish(process)

        assert len(simulation.api.posts) == 1
        check_finished(simulation, fence)
