"""Run productions under random faults and kills, and check the results.

Run: make campaign, or .venv/bin/python -m benchmarks.campaign --help
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import httpx
from cyclopts import App, Parameter

from benchmarks.campaign.stage import Stage
from benchmarks.campaign.tally import Tally
from benchmarks.campaign.worker import Worker
from tests.processes import KEY, S3, aws, environment, sandboxes, serving_prefect, serving_s3

app = App(name="campaign", help=__doc__)


@app.default
def campaign(
    *,
    clips: Annotated[int, Parameter(help="Minimum number of clips to produce.")] = 2000,
    kills: Annotated[int, Parameter(help="Minimum number of runs to kill.")] = 200,
    seed: Annotated[int | None, Parameter(help="Random seed. Default: a new one.")] = None,
    workers: Annotated[int, Parameter(help="Number of concurrent productions.")] = 4,
    seconds: Annotated[float, Parameter(help="Timeout of the campaign in seconds.")] = 3600.0,
    plain: Annotated[bool, Parameter(help="Run without Prefect.", negative=())] = False,
    fork: Annotated[bool, Parameter(help="Fork the runs, which saves CPU time.", negative=())] = False,
) -> int:
    """Run the campaign; exit with 0 if no rule was violated, 1 if one was, 2 if it is incomplete."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    prefect_url, s3_url = (os.environ.get(name, "") for name in ("PREFECT_API_URL", "AWS_ENDPOINT_URL"))
    tally, over = Tally(clips=clips, kills=kills), threading.Event()
    with contextlib.ExitStack() as stack:
        # Without its services, the Prefect server needs half the CPU time.
        if not plain:
            prefect_url = prefect_url or stack.enter_context(serving_prefect(folder, "--no-services"))
        s3 = S3(s3_url, aws(s3_url)) if s3_url else stack.enter_context(serving_s3(folder))
        # The operator's command runs in this process.
        os.environ.update(environment(folder / "operator", SEEDANCE_API_KEY=KEY, **s3.env))
        start = stack.enter_context(sandboxes(folder))
        threads = []
        for number in range(workers):
            worker_folder = folder / f"worker-{number}"
            (worker_folder / "spool").mkdir(parents=True)
            sandbox = start(serve=worker_folder, frame_rate=2, seed=seed + number)
            http = stack.enter_context(httpx.Client(base_url=sandbox.url, timeout=30))
            stage = Stage(
                folder=worker_folder,
                sandbox=sandbox,
                prefect_url="" if plain else prefect_url,
                s3=s3,
                over=over,
                http=http,
                forks=fork,
            )
            threads.append(threading.Thread(target=Worker(seed, stage, tally).work))
        try:
            _join(threads, latest=time.monotonic() + seconds)
        except KeyboardInterrupt:
            print("Stopped", file=sys.stderr)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return _report(seed, tally, folder)


def _join(threads: list[threading.Thread], *, latest: float) -> None:
    for thread in threads:
        thread.start()
    while time.monotonic() < latest and any(thread.is_alive() for thread in threads):
        time.sleep(0.2)


def _report(seed: int, tally: Tally, folder: Path) -> int:
    done = tally.counts["clips"] >= tally.clips and tally.counts["kills"] >= tally.kills
    print(json.dumps({"seed": seed, "done": done, **tally.figures()}), flush=True)
    if tally.violations:
        print(f"Violation with seed {seed}; the evidence is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0 if done else 2


if __name__ == "__main__":
    sys.exit(app())
