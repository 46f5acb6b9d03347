"""Draw the makespans of the full benchmark as an SVG image.

Run: python -m benchmarks.overhead.plot FIGURES.json IMAGE.svg
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from benchmarks.overhead.results import Results, Run

_ROWS = (
    (200, "floor", "asyncio and httpx: no records, no checks"),
    (200, "usual", "the Prefect flow that most people write"),
    (200, "flow-full", "prefect-seedance, with film and report"),
    (200, "flow-callbacks", "the same, with callbacks"),
    (1_000, "floor", "asyncio and httpx: no records, no checks"),
    (1_000, "usual", "the Prefect flow that most people write"),
    (1_000, "flow", "prefect-seedance in a flow"),
    (1_000, "plain", "prefect-seedance without Prefect"),
)
_PIXELS = 240
"""The width of an ideal makespan."""

_TEMPLATE = Path(__file__).with_name("plot.svg.j2")


def plot(runs: Sequence[Run]) -> str:
    """Return the image."""
    results, groups, y = Results(runs), [], 24
    for clips in dict.fromkeys(row[0] for row in _ROWS):
        bars: list[dict[str, object]] = []
        group = {"clips": clips, "y": y, "bars": bars}
        for number, contender, name in _ROWS:
            if number == clips:
                ratio = results.median("makespan/ideal", contender, clips)
                kind = "other" if contender in {"floor", "usual"} else "ours"
                bars.append(
                    {"name": name, "ratio": ratio, "kind": kind, "y": y + 12, "width": round(ratio * _PIXELS)}
                )
                y += 30
        groups.append(group)
        y += 46
    summary = "; ".join(
        f"{name}, {clips:,} clips: {results.median('makespan/ideal', each, clips):.2f}"
        for clips, each, name in _ROWS
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(groups=groups, height=y + 4, left=320, pixels=_PIXELS, summary=summary) + "\n"


if __name__ == "__main__":
    figures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(plot(figures["runs"]), encoding="utf-8")
