"""Several runs of one clip, and how often they may pay for it."""

import pytest

from prefect_seedance.options import RetryPolicy
from tests.simulation.api import ACCEPTED, LOST, Reply
from tests.simulation.invariants import Fence, at_every_step, check_finished
from tests.simulation.runs import CLIP, Choices, Simulation

_RESUBMIT = Choices(policy=RetryPolicy(on_unresolved="resubmit"))

_DIFFERENCE_SECONDS = 4.0
"""How far the clocks of machines differ that keep time with NTP, and more."""


@pytest.mark.parametrize(
    "ahead_seconds", [_DIFFERENCE_SECONDS, -_DIFFERENCE_SECONDS], ids=["ahead", "behind"]
)
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
            check_finished(simulation, fence)
            return True

    print(f"rival started at {at_every_step(start)} steps")  # noqa: T201 -- the size of the proof


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("callbacks", [False, True], ids=["polling", "no callback arrives"])
def test_each_run_resubmits_once(callbacks: bool, runs: int) -> None:  # noqa: FBT001 -- pytest passes it
    """If no answer ever arrives, each run that may resubmit pays for the clip once more at most."""
    with Simulation() as simulation:
        simulation.api.reply = lambda _: LOST
        choices = Choices(policy=_RESUBMIT.policy, has_callbacks=callbacks, deadline_seconds=1800)

        started = [simulation.start(choices) for _ in range(runs)]
        for process in started:
            simulation.finish(process)

        assert len(simulation.api.sold(CLIP.prompt)) <= 1 + runs


def test_rejected_clip_is_not_bought_again() -> None:
    """Runs that may retry failed clips pay once for a clip whose content is rejected."""
    with Simulation() as simulation:
        simulation.api.fails = lambda _: "CONTENT_VIOLATION"

        for _ in range(3):
            simulation.make(Choices(policy=RetryPolicy(retry_failed=True)))

        assert len(simulation.api.sold(CLIP.prompt)) == 1
