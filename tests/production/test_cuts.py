"""When the clips of a film are compared where they meet."""

import asyncio

import pytest

from prefect_seedance.film.inspections import ClipInspection, Similarity
from prefect_seedance.production.cuts import Cuts
from tests.reports import inspection_of

ORDER = ["dawn", "noon", "dusk", "noon", "dusk"]


def inspected(name: str) -> ClipInspection:
    """Return the inspection of a clip whose video has this digest."""
    return ClipInspection(inspection=inspection_of(1).model_copy(update={"sha256": name}))


class Comparing:
    """Notes the compared clips."""

    def __init__(self) -> None:
        self.compared: list[tuple[str, str]] = []

    async def compare(self, before: ClipInspection, after: ClipInspection) -> Similarity:
        """Return that both clips meet exactly."""
        self.compared.append((before.inspection.sha256, after.inspection.sha256))
        return Similarity(ssim=1.0)


@pytest.mark.parametrize(
    ("names", "compared"),
    [
        pytest.param(["dawn"], set(), id="one clip"),
        pytest.param(["dawn", "dusk"], set(), id="no neighbours"),
        pytest.param(["noon", "dawn"], {("dawn", "noon")}, id="later clip first"),
        pytest.param(["dusk", "noon"], {("noon", "dusk"), ("dusk", "noon")}, id="both orders, each once"),
    ],
)
async def test_compares_inspected_neighbours(names: list[str], compared: set[tuple[str, str]]) -> None:
    """Clips that follow each other are compared once, when the second of them is inspected."""
    comparing = Comparing()
    cuts = Cuts(ORDER, comparing.compare)

    for name in names:
        cuts.add(name, inspected(name))
    await asyncio.sleep(0)

    assert len(comparing.compared) == len(set(comparing.compared))
    assert set(comparing.compared) == compared
    assert not cuts.unfinished


async def test_begun_comparison_is_shared() -> None:
    """Who asks for a cut gets the comparison that has begun, or none if a clip is not inspected."""
    cuts = Cuts(ORDER, Comparing().compare)
    cuts.add("dawn", inspected("dawn"))

    assert cuts.begin(("dawn", "noon")) is None

    cuts.add("noon", inspected("noon"))
    assert cuts.unfinished == [cuts.begin(("dawn", "noon"))]
