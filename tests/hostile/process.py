"""Run commands one after another in one process, and report each as a line of JSON."""

import io
import json
import os
import re
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from prefect_seedance.cli import main


def kept_waiting() -> float:
    """Return for how many seconds other processes have kept this thread from running."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _peak_bytes() -> int:
    """Return the most memory that this program had; `getrusage` includes the program that started it."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return int(peak[1]) * 1024


def run(words: list[str], env: dict[str, str]) -> dict[str, object]:
    """Run one command."""
    os.environ.update(env)
    out, err, began = io.StringIO(), io.StringIO(), time.monotonic() - kept_waiting()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return {
        "code": code,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "seconds": time.monotonic() - kept_waiting() - began,
        "peak_bytes": _peak_bytes(),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)  # noqa: T201 -- what the test reads
