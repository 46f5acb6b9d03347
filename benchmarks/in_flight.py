"""Measure memory, CPU, requests and time of one process with a thousand clips in flight.

Run: .venv/bin/python benchmarks/in_flight.py [CLIPS]
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CLIPS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 1000


def main() -> None:
    """Run a server, the sandbox and a producer as separate processes, and print the figures."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "PREFECT_HOME": home,
            "PREFECT_API_URL": "http://127.0.0.1:4299/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "SEEDANCE_API_KEY": "sandbox-key",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", "4299"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "prefect_seedance.sandbox", "--port", "0", "--frame-rate", "2"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert sandbox.stdout
            environment["SEEDANCE_BASE_URL"] = sandbox.stdout.readline().split()[-1]
            _wait_for_health("http://127.0.0.1:4299/api/health")
            command = [sys.executable, __file__, "produce", home, str(CLIPS)]
            subprocess.run(command, env=environment, check=True)
            with urllib.request.urlopen(environment["SEEDANCE_BASE_URL"] + "/sandbox/books") as response:  # noqa: S310 -- loopback
                print(json.dumps(json.load(response)["totals"]))
        finally:
            for process in (sandbox, server):
                process.terminate()
                process.wait()


def _wait_for_health(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url)  # noqa: S310 -- loopback
        except OSError:
            time.sleep(0.5)
        else:
            return


def produce(home: str, clips: int) -> None:
    """Produce the given number of four-second clips in one process."""
    from prefect import flow

    from prefect_seedance import ClipList, ClipSpec
    from prefect_seedance import produce as make

    before = resource.getrusage(resource.RUSAGE_SELF)
    idle_mb = before.ru_maxrss / 1024
    clip_list = ClipList(
        title="Benchmark",
        defaults={"resolution": "480p"},
        clips=tuple(ClipSpec(prompt=f"drifting clouds, number {number}") for number in range(clips)),
    )

    @flow
    async def benchmark() -> int:
        manifest = await make(clip_list, archive=str(Path(home) / "archive"))
        return sum(entry.clip is not None for entry in manifest.clips)

    started = time.monotonic()
    archived = asyncio.run(benchmark())
    took = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{archived} of {clips} clips in {took:.0f} s; CPU {used.ru_utime + used.ru_stime:.0f} s; "
        f"peak memory {used.ru_maxrss / 1024:.0f} MB, of which {idle_mb:.0f} MB after importing Prefect"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["produce"]:
        produce(sys.argv[2], int(sys.argv[3]))
    else:
        main()
