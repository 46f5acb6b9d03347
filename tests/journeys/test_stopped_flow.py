"""A flow stopped by SIGTERM or its time limit during submissions records their responses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import Sandbox, environment, forking

_FLOW = """
import asyncio
import sys

from prefect import flow

from prefect_seedance import Hosting, produce

board, archive, images_url = sys.argv[1:]


@flow(timeout_seconds=600)
{kind}def film():
    {wait}(produce(board, archive=archive, hosting=Hosting(images_url=images_url)))


{run}
"""

KINDS = {
    "async": {"kind": "async ", "wait": "await ", "run": "asyncio.run(film())"},
    "sync": {"kind": "", "wait": "asyncio.run", "run": "film()"},
}


@pytest.mark.parametrize(
    ("kind", "number"),
    [("async", signal.SIGTERM), ("sync", signal.SIGTERM), ("sync", signal.SIGALRM)],
    ids=["async-terminated", "sync-terminated", "sync-past-its-time-limit"],
)
def test_stopped_flow_loses_no_id(
    kind: str,
    number: signal.Signals,
    tmp_path: Path,
    board: Path,
    archive: Path,
    sandbox: Sandbox,
    production_env: dict[str, str],
) -> None:
    """Both submissions are answered a second after the signal, and neither stays unresolved.

    Prefect ends a sync flow at its time limit with SIGALRM, which the test sends early.
    """
    sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 1.0})
    script = tmp_path / "film.py"
    script.write_text(_FLOW.format(**KINDS[kind]), encoding="utf-8")
    command = (sys.executable, script, board, archive, sandbox.hosted)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = environment(tmp_path / "prefect", **production_env)

    with forking(*command, env=env, **quiet) as process:
        _wait_for_submissions(sandbox, number=2)
        process.send_signal(number)
        process.wait(120)

    manifest = json.loads((archive / "productions/test-board/manifest.json").read_text(encoding="utf-8"))
    assert sandbox.totals()["accepted"] == 2
    assert len(list(archive.glob("clips/*/*/accepted.json"))) == 2
    assert [clip["status"] for clip in manifest["clips"]] == ["in flight", "in flight"]


def _wait_for_submissions(sandbox: Sandbox, *, number: int) -> None:
    latest = time.monotonic() + 60
    while sandbox.totals()["submits_received"] < number:
        assert time.monotonic() < latest, "not all submissions were received in time"
        time.sleep(0.02)
