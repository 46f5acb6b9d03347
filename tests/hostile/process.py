"""Run commands one after another in one process, and report each as a line of JSON."""

import io
import json
import os
import resource
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from prefect_seedance.cli import main


def kept_waiting() -> float:
    """Return for how many seconds other processes have kept this thread from running."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


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
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)  # noqa: T201 -- what the test reads
