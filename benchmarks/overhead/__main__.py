"""Measure what a production costs beyond the API's own time, beside programs that do less.

Run: python -m benchmarks.overhead [--clips 60] [--longest 12] [--json FILE] [CONTENDER ...]
     python -m benchmarks.overhead --full [--repeat 3] [--json FILE]
"""

import argparse
import contextlib
import json
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks.machine import compile_package, machine
from benchmarks.overhead import cases
from benchmarks.overhead.api import KEY
from benchmarks.overhead.cases import Case
from benchmarks.overhead.contenders import CALLBACKS, CONTENDERS
from benchmarks.overhead.results import Run, table
from benchmarks.overhead.targets import targets
from prefect_seedance.sandbox.video import VideoSpec, render
from tests.families import cpu_seconds
from tests.processes import ROOT, environment, receiving, running, serving_prefect

_VIDEOS = 4
"""Different result files of a kind; more would only take longer to render."""


def main() -> None:
    """Run the contenders one after the other, each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER", help=", ".join(CONTENDERS))
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds of the longest generation")
    parser.add_argument("--full", action="store_true", help="200 and 1,000 clips, growth and larger clips")
    parser.add_argument("--repeat", type=int, default=1, help="times; the table has medians")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    compile_package()
    once: list[Case] = []
    repeated = cases.quick(options.clips, options.longest, contenders=tuple(options.contenders))
    if options.full:
        repeated, once = cases.ROUND, cases.ONCE
    runs: list[Run] = []
    for round_ in [once] + [repeated] * options.repeat:
        for run in _measured(round_):
            runs.append(run)
            print(json.dumps(run), file=sys.stderr, flush=True)
            if options.json:  # after each, so that what stops the benchmark loses no figure
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps({**machine(), "runs": runs}, indent=1) + "\n")
    print(table(runs))
    if options.full:
        print(targets(runs))


def _measured(round_: list[Case]) -> Iterator[Run]:
    """Run cases with one server of Prefect, whose database is new, and yield their figures."""
    if not round_:
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        url = stack.enter_context(_api(home, {(case.resolution, case.duration) for case in round_}))
        env = environment(home, SEEDANCE_BASE_URL=url, SEEDANCE_API_KEY=KEY, PREFECT_LOGGING_LEVEL="ERROR")
        if any("flow" in case.contender or case.contender == "usual" for case in round_):
            env["PREFECT_API_URL"] = stack.enter_context(serving_prefect(home))
        for number, case in enumerate(round_):
            place = home / str(number)
            place.mkdir()
            for again in (False, True)[: 1 + case.contender.endswith("full")]:
                yield {**asdict(case), "again": again, **measure(case, place, env)}


@contextlib.contextmanager
def _api(home: Path, kinds: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Render some videos of each kind, and serve the scripted API."""
    videos = home / "videos"
    for resolution, seconds in kinds:
        folder = videos / _kind(resolution, seconds)
        folder.mkdir(parents=True)
        for number in range(_VIDEOS):
            spec = VideoSpec(
                images=(),
                prompt=f"video {number}",
                size=cases.SIZES[resolution],
                seconds=seconds,
                frame_rate=24,
                sound=True,
                fixed_lens=False,
            )
            render(spec, folder / f"{number}.mp4", interrupted=lambda: False)
    arguments = (sys.executable, "-m", "benchmarks.overhead.api", videos)
    with running(*arguments, env=environment(home), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


def _kind(resolution: str, seconds: int) -> str:
    return f"{resolution}-{seconds}"


def measure(case: Case, place: Path, env: Mapping[str, str]) -> Mapping[str, Any]:
    """Run one contender, and return its figures: its own, the operating system's, the API's and Prefect's."""
    kind = _kind(case.resolution, case.duration)
    times: dict[str, str | float] = {"video": kind, "shortest": case.shortest, "longest": case.longest}
    httpx.get(f"{env['SEEDANCE_BASE_URL']}/clear", params=times)
    runs_before = _task_runs(env)
    arguments = (case.contender, case.clips, place, case.shortest, case.resolution, case.duration)
    command = [sys.executable, "-m", "benchmarks.overhead.contenders", *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        variables, receiver = dict(env), 0
        if case.contender.endswith("callbacks"):
            variables["SEEDANCE_CALLBACK_SECRET"] = secrets.token_hex(32)
            received = stack.enter_context(receiving(place / "archive", env=variables))
            variables[CALLBACKS], receiver = received.url, received.process.pid
        before = _used(receiver)
        output = subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        cpu_seconds_used = _used(receiver) - before
    own = json.loads(output)
    api = httpx.get(f"{env['SEEDANCE_BASE_URL']}/measures", timeout=60).json()
    return {
        **own,
        "makespan/ideal": round(own["makespan"] / case.ideal_seconds, 3),
        "CPU": round(cpu_seconds_used, 2),
        "CPU ms a clip": round(1000 * cpu_seconds_used / case.clips, 1),
        **api,
        "task runs": _task_runs(env) - runs_before,
    }


def _used(receiver: int) -> float:
    """Return the processor time of all processes that have ended, and of a receiver, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + (cpu_seconds(receiver) if receiver else 0.0)


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


if __name__ == "__main__":
    main()
