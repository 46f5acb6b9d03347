"""One clip, whose status reads are odd at any time, and whose links are dead or damaged."""

import pytest

from tests.simulation.invariants import Fence, check_finished
from tests.simulation.runs import Choices, Simulation
from tests.simulation.video import video

_ODDITIES = ("not found", "failure", "busy", "garbled", "no url")
_BEGINNINGS = range(39, 60, 2)
"""Seconds in which a run reads the state of a generation of 45 s."""

_ODD_SECONDS = 4.0


def scripted(odd: str, *, beginning: float) -> Simulation:
    """Return a simulation whose status reads are odd for some seconds."""
    simulation, end = Simulation(), beginning + _ODD_SECONDS
    simulation.api.odd = lambda _: odd if beginning <= simulation.world.now < end else ""
    return simulation


@pytest.mark.parametrize("odd", _ODDITIES)
def test_odd_at_any_time(odd: str) -> None:
    """A run archives its clip although status reads are odd for some seconds, whenever that is."""
    for beginning in _BEGINNINGS:
        with scripted(odd, beginning=beginning) as simulation:
            fence = Fence(simulation)

            process = simulation.make()

            assert process.error is None, f"odd from second {beginning}: {process.error!r}"
            check_finished(simulation, fence)


@pytest.mark.parametrize("odd", _ODDITIES)
def test_odd_single_read(odd: str) -> None:
    """Runs that do not wait archive the clip, although the one read of some of them is odd."""
    for beginning in _BEGINNINGS:
        with scripted(odd, beginning=beginning) as simulation:
            fence = Fence(simulation)

            for _ in range(10):
                simulation.make(Choices(waits=False))
                simulation.world.pass_time(7)

            assert simulation.is_archived(), f"odd from second {beginning}"
            assert len(simulation.bucket.outcomes) == 1, f"odd from second {beginning}: concluded too early"
            check_finished(simulation, fence)


@pytest.mark.parametrize("code", [301, 403, 404, 429, 451, 503])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_one_good_link_suffices(good: int, code: int) -> None:
    """Of three links, one that is served suffices, whatever the others answer."""
    with Simulation() as simulation:
        fence = Fence(simulation)
        simulation.api.links = 3
        simulation.api.serve = lambda url, _: 200 if url.endswith(f"/{good}.mp4") else code

        process = simulation.make()

        assert process.error is None
        check_finished(simulation, fence)


def test_damaged_video_is_not_stored() -> None:
    """A video that arrives damaged at first is fetched again, and nothing else is ever stored as a clip."""
    with Simulation() as simulation:
        fence = Fence(simulation)
        simulation.api.body = lambda _, number: video() if number else video()[:-50]

        process = simulation.make()

        assert process.error is None
        stored = [content for key, content in simulation.bucket.objects.items() if key.endswith(".mp4")]
        assert stored == [video()]
        check_finished(simulation, fence)
