"""What the benchmark of the overhead takes as ideal, and whether its plot shows its figures."""

import json

import pytest

from benchmarks.overhead.cases import Case
from benchmarks.overhead.plot import plot
from tests.pages import ROOT

FIGURES = ROOT / "benchmarks/overhead.json"


@pytest.mark.parametrize(
    ("clips", "seconds"),
    [
        pytest.param(200, 1.2 + 60, id="requests of the submissions"),
        pytest.param(1_000, 6 + 60, id="all slots"),
        pytest.param(3_000, 6 + 2 * 55 + 60, id="clips that wait for slots"),
    ],
)
def test_ideal_keeps_limits(clips: int, seconds: float) -> None:
    """No program that keeps the account's limits needs less than the ideal."""
    assert Case("floor", clips, shortest=50, longest=60).ideal_seconds == pytest.approx(seconds)


def test_plot_shows_figures() -> None:
    """The plot in README is that of the stored figures."""
    runs = json.loads(FIGURES.read_text(encoding="utf-8"))["runs"]

    assert FIGURES.with_suffix(".svg").read_text(encoding="utf-8") == plot(runs)
