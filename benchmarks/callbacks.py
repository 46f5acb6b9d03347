"""Measure how soon the ends of a hundred clips are recorded, with and without callbacks.

Run: .venv/bin/python -m benchmarks.callbacks [CLIPS] [SPEED]
"""

import http.client
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.processes import BIN, Sandbox, environment, running, sandboxes, serving_prefect

CLIPS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
SPEED = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
POSTS = 10_000


def main() -> None:
    """Run a server, the sandbox, a receiver and a producer as processes, and print the figures."""
    with tempfile.TemporaryDirectory() as folder, serving_prefect(Path(folder)) as server:
        for fault in ("", "twice", "never"):
            with sandboxes(Path(folder)) as start:
                sandbox = start(speed=SPEED)
                if fault:
                    sandbox.faults({"kind": "callback", "fault": fault})
                measure(Path(folder), sandbox, server, fault=fault)


def measure(folder: Path, sandbox: Sandbox, server: str, *, fault: str) -> None:
    """Run one production, and print its figures."""
    archive = folder / f"archive-{fault}"
    env = environment(
        folder,
        PREFECT_API_URL=server,
        SEEDANCE_CALLBACK_SECRET=secrets.token_hex(32),
        **sandbox.env,
    )
    clips = folder / "clips.yaml"
    prompts = "".join(f"  - prompt: call {number} rings\n" for number in range(CLIPS))
    clips.write_text(f"title: Calls\ndefaults: {{resolution: 480p}}\nclips:\n{prompts}")
    command = (BIN / "prefect-seedance", "callbacks", "--archive", archive, "--port", 0, "--json")
    with running(*command, env=env, stdout=-1) as receiver:
        assert receiver.stdout
        url = json.loads(receiver.stdout.readline())["address"]
        started = time.monotonic()
        produce = (BIN / "prefect-seedance", "produce", clips, "--archive", archive, "--callback-url", url)
        with running(*produce, env=env, stdout=-3) as run:
            code = run.wait()
        took = time.monotonic() - started
        case = {
            "callbacks": fault or "once",
            "clips": CLIPS,
            "exit code": code,
            "seconds": round(took),
        }
        print(json.dumps({**case, **figures(archive, sandbox)}), flush=True)
        if not fault:
            print(json.dumps(attack(url, sandbox)), flush=True)


def figures(archive: Path, sandbox: Sandbox) -> Mapping[str, object]:
    """Return the delay from the end of each generation to its record, and the number of status reads."""
    found = [(path, json.loads(path.read_text())) for path in archive.glob("clips/*/*/outcome.json")]
    after = sorted(
        path.stat().st_mtime - outcome["generation"]["answer"]["completeTime"] / 1000
        for path, outcome in found
    )
    reads = [each["status_reads"] for each in sandbox.books()["generations"]]
    return {
        "recorded": len(after),
        "mean seconds to record": round(sum(after) / len(after), 3),
        "95 %": round(after[len(after) * 95 // 100], 3),
        "worst": round(after[-1], 3),
        "status reads a clip": round(sum(reads) / len(reads), 2),
        "most": max(reads),
        "duplicates": sandbox.totals()["duplicates"],
    }


def attack(url: str, sandbox: Sandbox) -> Mapping[str, object]:
    """Post replayed and forged callbacks, and return the statuses and the status reads they caused."""
    before = sandbox.totals()["status_reads"]
    tokens = [each["callback_url"].rpartition("/")[2] for each in sandbox.books()["generations"]]
    forged = [token[:-2] + "AA" for token in tokens]
    started = time.monotonic()
    statuses = [_post(url, tokens, posts=POSTS // 2), _post(url, forged, posts=POSTS // 2)]
    took = time.monotonic() - started
    return {
        "posts": POSTS,
        "statuses of replayed, forged": statuses,
        "posts a second": round(POSTS / took),
        "status reads they caused": sandbox.totals()["status_reads"] - before,
    }


def _post(url: str, tokens: Sequence[str], *, posts: int) -> Any:  # noqa: ANN401 -- JSON
    body = json.dumps({"code": 200, "data": {"taskId": "task_forged", "state": "success"}})
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    statuses = set()
    for number in range(posts):
        connection.request("POST", f"/callbacks/{tokens[number % len(tokens)]}", body)
        response = connection.getresponse()
        response.read()
        statuses.add(response.status)
    connection.close()
    return sorted(statuses)


if __name__ == "__main__":
    main()
