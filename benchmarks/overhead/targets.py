"""The targets of the full benchmark, and whether its figures meet them.

Run: python -m benchmarks.overhead.targets FIGURES.json
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.overhead.results import Results, Run, table

_GROWTH = (10, 100, 1_000, 10_000)
_FLAT = 1.25
"""A figure is flat if the most clips have at most this multiple of what a tenth of them have."""


class _Target(NamedTuple):
    measure: str
    target: str
    found: str
    is_met: bool


def targets(runs: Sequence[Run]) -> str:
    """Return the targets as a Markdown table, with medians."""
    results = Results(runs)
    rows = [*_makespans(results), *_costs(results), *_waiting(results), *_growth(results)]
    lines = ["| measure | target | found | met |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row.measure} | {row.target} | {row.found} | {'yes' if row.is_met else 'no'} |" for row in rows
    ]
    return "\n".join(lines)


def _makespans(results: Results) -> list[_Target]:
    def ratio(contender: str, clips: int) -> float:
        return results.median("makespan/ideal", contender, clips)

    ours, usual = ratio("flow-full", 200), ratio("usual", 200)
    many, usual_many = ratio("flow", 1_000), ratio("usual", 1_000)
    plain = ratio("plain", 1_000)
    most = results.median("most in flight", "flow", 1_000)
    again = results.find("plain-full", 1_000, again=True)
    seconds = results.median("makespan", "plain-full", 1_000, again=True)
    requests = sum(sum(run["requests"].values()) for run in again)
    return [
        _Target(
            "makespan / ideal, 200 clips in a flow, film and report included",
            "at most 1.15, less than usual",
            f"{ours:.2f}, usual {usual:.2f}",
            ours <= min(1.15, usual),
        ),
        _Target(
            "makespan / ideal, 1,000 clips in a flow",
            "at most 1.5, half of usual's overhead",
            f"{many:.2f}, usual {usual_many:.2f}",
            many <= 1.5 and many - 1 < (usual_many - 1) / 2,
        ),
        _Target("most in flight, 1,000 clips in a flow", "1,000", f"{most:,.0f}", most == 1_000),
        _Target(
            "makespan / ideal, 1,000 clips without Prefect", "at most 1.15", f"{plain:.2f}", plain <= 1.15
        ),
        _Target(
            "1,000 clips with film and report again: time; requests to the API",
            "3 s; 0",
            f"{seconds:.1f} s; {requests}",
            seconds <= 3 and not requests,
        ),
    ]


def _costs(results: Results) -> list[_Target]:
    ours, usual = (results.median("CPU ms a clip", name, 1_000) for name in ("flow", "usual"))
    small, large = _video_ms(results, 1_000, "480p"), _video_ms(results, 60, "720p")
    few = results.median("memory MB", "flow", 200)
    full = results.median("memory MB", "flow-full", 200)
    many = results.median("memory MB", "flow", 1_000)
    return [
        _Target(
            "CPU a clip, 1,000 clips in a flow",
            "at most usual's",
            f"{ours:.0f} ms, usual {usual:.0f} ms",
            ours <= usual,
        ),
        _Target("CPU for all video work of a clip of 4 s at 480p", "60 ms", f"{small:.0f} ms", small <= 60),
        _Target("the same for 12 s at 720p", "400 ms", f"{large:.0f} ms", large <= 400),
        _Target(
            "peak memory, 200 clips in a flow; with film and report",
            "150 MB",
            f"{few:.0f} MB; {full:.0f} MB",
            full <= 150,
        ),
        _Target("peak memory, 1,000 clips in a flow", "250 MB", f"{many:.0f} MB", many <= 250),
    ]


def _video_ms(results: Results, clips: int, resolution: str) -> float:
    """Return the CPU of a clip that `plain-full` uses beyond `plain`, and that `plain` uses to decode it."""
    full, plain, verifying = (
        results.median(figure, name, clips, resolution=resolution)
        for figure, name in (("CPU", "plain-full"), ("CPU", "plain"), ("decoding CPU", "plain"))
    )
    return 1000 * (full - plain + verifying) / clips


def _waiting(results: Results) -> list[_Target]:
    few, many, called = (
        results.median("detection mean", *case)
        for case in (("flow", 200), ("flow", 1_000), ("flow-callbacks", 200))
    )
    busiest = results.median("busiest minute", "flow", 1_000)
    reads = results.median("status reads", "flow-callbacks", 200) / 200
    return [
        _Target("detection, 200 clips, mean", "1.0 s", f"{few:.2f} s", few <= 1),
        _Target(
            "detection, 1,000 clips, mean; requests in the busiest minute",
            "4 s; 8,000",
            f"{many:.2f} s; {busiest:,.0f}",
            many <= 4 and busiest <= 8_000,
        ),
        _Target(
            "detection by callback, mean; status reads a clip",
            "0.1 s; 1",
            f"{called:.3f} s; {reads:.2f}",
            called <= 0.1 and reads <= 1,
        ),
    ]


def _growth(results: Results) -> list[_Target]:
    """Return how CPU, requests and memory of a clip grow from ten clips to ten thousand."""
    cpu, reads, memory = (
        [results.median(figure, "plain", clips) for clips in _GROWTH]
        for figure in ("CPU", "status reads", "memory MB")
    )
    later = [(more - less) for less, more in pairwise(_GROWTH)]
    figures = {
        "CPU a clip, ms": [1000 * value / clips for value, clips in zip(cpu, _GROWTH, strict=True)],
        "requests a clip": [1 + value / clips for value, clips in zip(reads, _GROWTH, strict=True)],
        "memory of a further clip, kB": [
            1000 * (more - less) / clips for (less, more), clips in zip(pairwise(memory), later, strict=True)
        ],
    }
    clips = " / ".join(f"{clips:,}" for clips in _GROWTH)
    return [
        _Target(
            f"{name}: {clips} clips, plain",
            "flat",
            ", ".join(f"{value:.3g}" for value in values),
            values[-1] <= _FLAT * values[-2],
        )
        for name, values in figures.items()
    ]


if __name__ == "__main__":
    figures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["runs"]
    print(table(figures), targets(figures), sep="\n\n")
