"""A production of the command without Prefect."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Sandbox, environment

Words = tuple[object, ...]

_POLLS = ("--first-poll", "0.1", "--poll-every", "0.1")
_WAIT_SECONDS = 30.0
_PROGRAM = """
import sys
from prefect_seedance.cli import main
code = main(sys.argv[1:])
print("\\nexit code", code, "prefect" if "prefect" in sys.modules else "no prefect")
"""


@pytest.fixture
def words(board: Path, archive: Path, sandbox: Sandbox) -> Words:
    """Return the arguments of a production of the storyboard."""
    return ("produce", board, "--archive", archive, "--images-url", sandbox.hosted, *_POLLS)


def test_imports_no_prefect(words: Words, sandbox: Sandbox, tmp_path: Path) -> None:
    """Without a configured server, a whole production, with film and report, never imports Prefect."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, words), "--json"]

    run = subprocess.run(
        command,
        env=environment(tmp_path, **sandbox.env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    output, _, end = run.stdout.rpartition("\nexit code ")
    manifest = json.loads(output)
    assert end == "0 no prefect\n"
    assert [clip["status"] for clip in manifest["clips"]] == ["made", "made"]
    assert manifest["film"]
    assert manifest["report"]
    assert sandbox.totals()["accepted"] == 2


def test_uses_configured_server(words: Words, sandbox: Sandbox, tmp_path: Path) -> None:
    """A configured server is used, so a production with an unreachable one fails before it spends."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, words)]
    (tmp_path / ".env").write_text("PREFECT_API_URL=http://127.0.0.1:1/api\n", encoding="utf-8")

    run = subprocess.run(
        command,
        env=environment(tmp_path, **sandbox.env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.endswith("exit code 2 prefect\n")
    assert "The Prefect server at http://127.0.0.1:1/api" in run.stderr
    assert sandbox.totals()["submits_received"] == 0


def test_signal_leaves_manifest(
    words: Words, sandbox: Sandbox, archive: Path, start_cli: Callable[..., subprocess.Popen[str]]
) -> None:
    """SIGTERM ends a run in flight with exit code 4, and the ledger has every accepted clip."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})

    process = start_cli(*words, env=sandbox.env)
    _wait_for_records(archive, "accepted.json", count=2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=_WAIT_SECONDS)

    assert process.returncode == 4
    assert "Stopping … press Ctrl-C again to quit now\n" in err
    assert "2 in flight" in out
    manifest = json.loads((archive / "productions/test-board/manifest.json").read_text(encoding="utf-8"))
    assert [clip["status"] for clip in manifest["clips"]] == ["in flight", "in flight"]


def test_stopped_run_names_ledger(
    words: Words, sandbox: Sandbox, archive: Path, start_cli: Callable[..., subprocess.Popen[str]]
) -> None:
    """If a stopped run cannot store its manifest, the error says that the ledger has every submission."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    (archive / "productions/test-board/manifest.json/in-its-way").mkdir(parents=True)

    process = start_cli(*words, env=sandbox.env)
    _wait_for_records(archive, "accepted.json", count=2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_WAIT_SECONDS)

    assert process.returncode == 1
    assert "The ledger has every submission; run the same command again to continue" in err


def test_second_signal_quits(
    words: Words, sandbox: Sandbox, archive: Path, start_cli: Callable[..., subprocess.Popen[str]]
) -> None:
    """A second signal quits at once, even while a response is awaited."""
    sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 60})

    process = start_cli(*words, env=sandbox.env)
    _wait_for_records(archive, "intent.json", count=2)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert any(line.startswith("Stopping") for line in process.stderr)
    process.send_signal(signal.SIGINT)

    assert process.wait(_WAIT_SECONDS) == 130


def _wait_for_records(archive: Path, name: str, *, count: int) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while len(list(archive.glob(f"clips/*/*/{name}"))) < count:
        assert time.monotonic() < latest, f"no {name} was recorded in time"
        time.sleep(0.02)
