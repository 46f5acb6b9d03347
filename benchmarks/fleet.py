"""Measure a catalogue on one, two and four workers, against what the account's limits allow.

Run: python -m benchmarks.fleet [--clips 10000] [--storyboards 200] [--workers 1,2,4] [--json FILE] [--check]
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from tests.families import cpu_seconds, memory_mb
from tests.fleet import Fleet, Worker, fleets, write_catalog

_MEAN_SECONDS, _LONGEST_SECONDS = 52.0, 63.0
"""Of a generation in the sandbox, pending included, at the API's own speed."""

_REQUESTS = 2
"""Fewest requests for a clip: its submission and one read of its status."""

_LOOK_SECONDS = 2.0

_CHECK = {"clips": 80, "storyboards": 40, "slots": 50, "requests_per_minute": 600, "workers": "2", "runs": 20}
"""The figures of `--check`: the smallest fleet in which both limits matter."""


@dataclass(frozen=True)
class Load:
    """What is measured.

    Attributes:
        storyboards: Each has the same number of clips.
        slots: The account's generations in flight.
        runs: Storyboards at a time, on all workers together.
        speed: Of generations, as a multiple of the API's.
        kills: Whether one of several workers dies in the middle.
    """

    clips: int
    storyboards: int
    slots: int
    requests_per_minute: int
    runs: int
    speed: float
    kills: bool

    @property
    def ideal_seconds(self) -> float:
        """The shortest time that the limits allow, from the first submission to the end of the last clip."""
        by_slots = self.clips * _MEAN_SECONDS / self.speed / self.slots
        by_requests = 60 * _REQUESTS * self.clips / self.requests_per_minute
        return max(by_slots, by_requests) + _LONGEST_SECONDS / self.speed


def main() -> int:
    """Measure each number of workers on a server of its own, and print a table."""
    options = _options()
    load = Load(
        clips=options.clips,
        storyboards=options.storyboards,
        slots=options.slots,
        requests_per_minute=options.requests_per_minute,
        runs=options.runs or _runs(options),
        speed=options.speed,
        kills=options.kill or options.check,
    )
    found = []
    for workers in map(int, options.workers.split(",")):
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
            found.append(measure(Path(folder), load, workers=workers))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(table(found))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**machine(), **vars(load), "fleets": found}, indent=2))
    problems = [problem for each in found for problem in _problems(each, load)] if options.check else []
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--storyboards", type=int, default=200)
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers to measure")
    parser.add_argument("--slots", type=int, default=1_000, help="the account's generations in flight")
    parser.add_argument("--requests-per-minute", type=int, default=10_000)
    parser.add_argument("--runs", type=int, help="storyboards at a time; default: enough for all slots")
    parser.add_argument("--speed", type=float, default=1.0, help="of generations; the API's own is 1")
    parser.add_argument("--kill", action="store_true", help="kill one of several workers in the middle")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--check", action="store_true", help="40 storyboards, and fail if a rule is broken")
    options = parser.parse_args()
    if options.check:
        vars(options).update(_CHECK)
    return options


def _runs(options: argparse.Namespace) -> int:
    """Return how many storyboards at a time use all slots: half of them start, or wait for last clips."""
    enough: float = 2.0 * options.slots * options.storyboards / options.clips
    return min(int(options.storyboards), math.ceil(enough))


def measure(home: Path, load: Load, *, workers: int) -> Mapping[str, Any]:
    """Make a catalogue twice, and return the figures."""
    catalog = write_catalog(
        home / "season", storyboards=load.storyboards, clips=load.clips // load.storyboards
    )
    account = {"slots": load.slots, "requests_per_minute": load.requests_per_minute}
    with fleets(home, speed=load.speed, **account) as fleet, ExitStack() as stack:
        fleet.deploy(runs=load.runs)
        each = math.ceil(load.runs / workers)
        hired = [
            stack.enter_context(fleet.worker(f"worker-{number}", runs=each)) for number in range(workers)
        ]
        first = _make(fleet, catalog, hired, load, kills=load.kills and workers > 1)
        totals, runs = fleet.sandbox.totals(), len(fleet.child_runs())
        again = _make(fleet, catalog, hired, load, kills=False)
        return {
            "workers": workers,
            **first,
            "archived": fleet.archived(),
            "duplicates": totals["duplicates"],
            "429": totals["over_limits"],
            "most in flight": totals["max_in_flight"],
            "busiest minute": totals["worst_minute_requests"],
            "requests a clip": round((totals["submits_received"] + totals["status_reads"]) / load.clips, 2),
            "runs": runs,
            "runs by worker": [worker.runs for worker in hired],
            "again": {
                "seconds": again["seconds"],
                "runs": len(fleet.child_runs()) - runs,
                "requests": _requests(fleet.sandbox.totals()) - _requests(totals),
                "exit code": again["exit code"],
            },
        }


def _requests(totals: Mapping[str, int]) -> int:
    return totals["submits_received"] + totals["status_reads"] + totals["file_requests"]


def _make(
    fleet: Fleet, catalog: Path, workers: Sequence[Worker], load: Load, *, kills: bool
) -> Mapping[str, Any]:
    """Make the catalogue once, while looking at the workers' memory."""
    began, cpu_before = time.monotonic(), sum(_cpu(workers))
    options = ("--at-a-time", load.runs, "--max-seconds", 1_000_000, "--param", "max_seconds=1000000")
    total_mb = process_mb = 0
    lost_cpu = 0.0
    with fleet.making(catalog, *options) as making:
        while (printed := printed_by(making, within_seconds=_LOOK_SECONDS)) is None:
            memory = [memory_mb(worker.process.pid) for worker in workers]
            total_mb = max(total_mb, sum(now for now, _ in memory))
            process_mb = max(process_mb, *(peak for _, peak in memory))
            if kills and fleet.archived() >= load.clips // 4:
                lost_cpu = _cpu(workers)[-1]
                kills = not fleet.kill(workers[-1], in_flight=1)
    seconds = time.monotonic() - began
    manifest = _manifest(making, *printed)
    cpu = sum(_cpu(workers)) + (0 if workers[-1].process.poll() is None else lost_cpu) - cpu_before
    return {
        "exit code": manifest["exit_code"],
        "statuses": sorted({entry["status"] for entry in manifest["entries"]}),
        "seconds": round(seconds),
        "first to last": round(_span_seconds(fleet)),
        "ideal": round(load.ideal_seconds),
        "to ideal": round(_span_seconds(fleet) / load.ideal_seconds, 2),
        "CPU ms a clip": round(1000 * cpu / load.clips),
        "all MB": total_mb,
        "process MB": process_mb,
    }


def printed_by(process: subprocess.Popen[str], *, within_seconds: float) -> tuple[str, str] | None:
    """Return what a process has printed if it ends in time, else None; unread, it would block the process."""
    with suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=within_seconds)
    return None


def _cpu(workers: Sequence[Worker]) -> list[float]:
    return [cpu_seconds(worker.process.pid) if worker.process.poll() is None else 0.0 for worker in workers]


def _manifest(making: subprocess.Popen[str], output: str, errors: str) -> Mapping[str, Any]:
    if not output:
        sys.exit(f"The catalogue ended with {making.returncode}:\n{errors}")
    return dict(json.loads(output))


def _span_seconds(fleet: Fleet) -> float:
    """Return the time from the first submission to the last archived clip."""
    asked = [path.stat().st_mtime for path in fleet.archive.glob("clips/*/*/intent.json")]
    archived = [path.stat().st_mtime for path in fleet.archive.glob("clips/*/clip.json")]
    return max(archived, default=0.0) - min(asked, default=0.0)


def _problems(found: Mapping[str, Any], load: Load) -> list[str]:
    """Return the broken rules."""
    rules = {
        "not every clip is archived": found["archived"] == load.clips,
        "a clip was paid twice": found["duplicates"] == 0,
        "the API answered 429": found["429"] == 0,
        "a worker made nothing": all(found["runs by worker"]),
        "the catalogue is not complete": found["exit code"] == 0,
        "the second run started runs": found["again"]["runs"] == 0,
        "the second run sent requests to the API": found["again"]["requests"] == 0,
    }
    return [f"{found['workers']} workers: {rule}" for rule, is_kept in rules.items() if not is_kept]


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a Markdown table, with a column for each number of workers."""
    rows = {
        "archived; bought twice": lambda each: f"{each['archived']:,}; {each['duplicates']}",
        "first submission to last clip": lambda each: f"{each['first to last']} s",
        "what the limits allow; ratio": lambda each: f"{each['ideal']} s; {each['to ideal']}",
        "whole command": lambda each: f"{each['seconds']} s",
        "CPU a clip, workers and runs": lambda each: f"{each['CPU ms a clip']} ms",
        "memory: all; largest process": lambda each: f"{each['all MB']:,} MB; {each['process MB']} MB",
        "most in flight; busiest minute": lambda each: (
            f"{each['most in flight']}; {each['busiest minute']:,}"
        ),
        "requests a clip; answers 429": lambda each: f"{each['requests a clip']}; {each['429']}",
        "flow runs by worker": lambda each: " + ".join(map(str, each["runs by worker"])),
        "again: time; runs; requests": lambda each: (
            f"{each['again']['seconds']} s; {each['again']['runs']}; {each['again']['requests']}"
        ),
    }
    head = ["| workers | " + " | ".join(str(each["workers"]) for each in found) + " |"]
    lines = [f"| {name} | " + " | ".join(map(cell, found)) + " |" for name, cell in rows.items()]
    return "\n".join([*head, "| --- " * (len(found) + 1) + "|", *lines])


if __name__ == "__main__":
    sys.exit(main())
