"""Measure what a production costs beyond the API's own time, beside programs that do less.

Run: python -m benchmarks.overhead [--clips 60] [--longest 12] [--json FILE] [CONTENDER ...]
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.machine import machine
from benchmarks.overhead.api import KEY
from benchmarks.overhead.contenders import CONTENDERS
from prefect_seedance.sandbox.video import VideoSpec, render
from tests.processes import ROOT, environment, running, serving_prefect

_SHORTEST_SHARE = 0.7
"""The shortest generation takes this share of the longest."""

_VIDEOS = 4
"""Different result files; more would only take longer to render."""

_AGAIN = " again"
"""Suffix of a second run in the same archive, which has nothing to do."""


def main() -> None:
    """Run the contenders one after the other, each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER", help=", ".join(CONTENDERS))
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds of the longest generation")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    names = options.contenders or list(CONTENDERS)
    found = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        url, env = stack.enter_context(_api(home, longest=options.longest)), {}
        env = environment(home, SEEDANCE_BASE_URL=url, SEEDANCE_API_KEY=KEY, PREFECT_LOGGING_LEVEL="ERROR")
        if any("flow" in name or name == "usual" for name in names):
            env["PREFECT_API_URL"] = stack.enter_context(serving_prefect(home))
        for name in names:
            place = home / name
            place.mkdir()
            for again in (False, True)[: 1 + name.endswith("full")]:
                figures = measure(name, place, env, clips=options.clips, longest=options.longest)
                found.append({"contender": name + _AGAIN * again, **figures})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(table(found))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**machine(), "clips": options.clips, "runs": found}, indent=2))


@contextlib.contextmanager
def _api(home: Path, *, longest: float) -> Iterator[str]:
    """Render some videos, and serve the scripted API."""
    videos = home / "videos"
    videos.mkdir()
    for number in range(_VIDEOS):
        spec = VideoSpec(
            images=(),
            prompt=f"video {number}",
            size=(864, 496),
            seconds=4,
            frame_rate=24,
            sound=True,
            fixed_lens=False,
        )
        render(spec, videos / f"{number}.mp4", interrupted=lambda: False)
    arguments = (sys.executable, "-m", "benchmarks.overhead.api", videos, _SHORTEST_SHARE * longest, longest)
    with running(*arguments, env=environment(home), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


def measure(
    name: str, place: Path, env: Mapping[str, str], *, clips: int, longest: float
) -> Mapping[str, Any]:
    """Run one contender, and return its figures: its own, the operating system's, the API's and Prefect's."""
    httpx.get(f"{env['SEEDANCE_BASE_URL']}/clear")
    before, runs_before = _used(), _task_runs(env)
    arguments = (name, clips, place, _SHORTEST_SHARE * longest)
    command = [sys.executable, "-m", "benchmarks.overhead.contenders", *map(str, arguments)]
    output = subprocess.run(command, env=dict(env), cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    cpu_seconds = _used() - before
    own = json.loads(output)
    api = httpx.get(f"{env['SEEDANCE_BASE_URL']}/measures").json()
    return {
        **own,
        "makespan/ideal": round(own["makespan"] / longest, 2),
        "CPU": round(cpu_seconds, 2),
        "CPU ms a clip": round(1000 * cpu_seconds / clips),
        **api,
        "task runs": _task_runs(env) - runs_before,
    }


def _used() -> float:
    """Return the processor time of all processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _task_runs(env: Mapping[str, str]) -> int:
    """Return the number of task runs in Prefect, once it has recorded all of them."""
    if "PREFECT_API_URL" not in env:
        return 0
    counts = [-2, -1]
    while counts[-1] != counts[-2]:
        time.sleep(2)
        response = httpx.post(f"{env['PREFECT_API_URL']}/task_runs/count", json={}, timeout=60)
        counts.append(int(response.raise_for_status().json()))
    return counts[-1]


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    columns = (
        "makespan/ideal",
        "CPU",
        "loop CPU",
        "CPU ms a clip",
        "memory MB",
        "submissions took",
        "task runs",
    )
    counts = ("fsyncs", "objects written", "objects read", "decodes")
    lines = ["| contender | " + " | ".join((*columns, "detection", "status reads", *counts)) + " |"]
    lines.append("| --- " * (len(columns) + len(counts) + 3) + "|")
    for each in found:
        late = each["detection"]
        cells = [
            each["contender"],
            *(each.get(column, "") for column in columns),
            f"{late['mean']} / {late['p95']}",
            each["requests"].get("status reads", 0),
            *(each["counts"].get(count, 0) for count in counts),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
