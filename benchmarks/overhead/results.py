"""The figures of all runs, and their table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]
"""The figures of one run of a contender."""

_COLUMNS = (
    "makespan/ideal",
    "CPU ms a clip",
    "loop CPU",
    "decoding CPU",
    "memory MB",
    "most in flight",
    "submissions took",
    "detection mean",
    "detection p95",
    "status reads",
    "busiest minute",
    "task runs",
    "fsyncs",
    "objects written",
    "objects read",
    "decodes",
)


class Results:
    """The runs of a benchmark."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs

    def find(self, contender: str, clips: int, *, again: bool = False, resolution: str = "480p") -> list[Run]:
        """Return the runs of a case."""
        case = {"contender": contender, "clips": clips, "again": again, "resolution": resolution}
        return [run for run in self._runs if case.items() <= run.items()]

    def median(self, figure: str, contender: str, clips: int, **case: Any) -> float:  # noqa: ANN401 -- those of `find`
        """Return the median of a figure over the repetitions of a case."""
        return statistics.median(figure_of(run, figure) for run in self.find(contender, clips, **case))


def figure_of(run: Run, name: str) -> float:
    """Return a figure by its name in the table."""
    if name.startswith("detection "):
        return float(run["detection"][name.removeprefix("detection ")])
    if name in {"status reads", "submissions", "files"}:
        return float(run["requests"].get(name, 0))
    return float(run[name] if name in run else run["counts"].get(name, 0))


def table(runs: Sequence[Run]) -> str:
    """Return the medians of all cases as a Markdown table."""
    results = Results(runs)
    cases = {(r["contender"], r["clips"], r["again"], r["resolution"]): None for r in runs}
    lines = ["| contender | clips | " + " | ".join(_COLUMNS) + " |", "| --- " * (len(_COLUMNS) + 2) + "|"]
    for contender, clips, again, resolution in cases:
        case = {"again": again, "resolution": resolution}
        cells = [f"{results.median(column, contender, clips, **case):,.6g}" for column in _COLUMNS]
        name = contender + " again" * again + f", {resolution}" * (resolution != "480p")
        lines.append("| " + " | ".join([name, f"{clips:,}", *cells]) + " |")
    return "\n".join(lines)
