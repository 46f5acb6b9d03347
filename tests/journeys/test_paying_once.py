"""Runs killed around a submission, and concurrent runs: each clip is paid for once."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Command, Place, Sandbox

Start = Callable[..., subprocess.Popen[str]]

_WAIT_SECONDS = 60.0


@pytest.fixture
def words(board: Path, place: Place) -> tuple[object, ...]:
    """Return the arguments of the command that every run repeats."""
    polling = ("--first-poll", "0.2", "--poll-every", "0.2", "--timeout", "2", "--deadline", "60")
    return ("produce", board, "--archive", place.name, *place.options, "--json", *polling)


@pytest.fixture
def env(request: pytest.FixtureRequest, sandbox: Sandbox, place: Place) -> dict[str, str]:
    """Return the environment of every command: with Prefect for a folder, without for a bucket."""
    if place.name.startswith("s3://"):
        return {**sandbox.env, **place.env}
    return dict(request.getfixturevalue("production_env"))


def until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < latest, "the condition did not become true in time"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def accepted(place: Place) -> int:
    return sum(key.endswith("/attempt-001/accepted.json") for key in place.contents())


def statuses(run: subprocess.CompletedProcess[str]) -> list[str]:
    manifest: Mapping[str, Any] = json.loads(run.stdout)
    return [clip["status"] for clip in manifest["clips"]]


def test_killed_before_acceptance(
    start_cli: Start,
    run_cli: Command,
    env: dict[str, str],
    sandbox: Sandbox,
    words: tuple[object, ...],
) -> None:
    """A clip whose run was killed before its acceptance is unresolved and not submitted again."""
    sandbox.faults({"kind": "submit", "fault": "accept-then-hang"})
    first = start_cli(*words, env=env)
    until(lambda: sandbox.totals()["accepted"] == 2)
    kill(first)
    sandbox.faults()

    again = run_cli(*words, env=env)

    assert statuses(again) == ["unresolved", "unresolved"]
    assert again.returncode == 3
    assert sandbox.totals()["submits_received"] == 2


def test_unresolved_is_adopted_or_lost(
    start_cli: Start,
    run_cli: Command,
    env: dict[str, str],
    sandbox: Sandbox,
    place: Place,
    words: tuple[object, ...],
) -> None:
    """Unresolved submissions of a killed run are resolved, one as adopted and one as lost."""
    sandbox.faults({"kind": "submit", "fault": "accept-then-hang"})
    first = start_cli(*words, env=env)
    until(lambda: sandbox.totals()["accepted"] == 2)
    kill(first)
    sandbox.faults()
    unresolved = json.loads(run_cli(*words, env=env).stdout)["clips"]
    bought = {each["prompt"]: each["taskId"] for each in sandbox.books()["generations"]}
    prompts = ["drifting clouds after dawn", "drifting clouds after noon"]

    adopted = run_cli(
        "resolve", place.name, unresolved[0]["fingerprint"], "--adopt", bought[prompts[0]], env=env
    )
    lost = run_cli("resolve", place.name, unresolved[1]["fingerprint"][:12], "--lost", env=env)
    healed = run_cli(*words, env=env)

    assert (adopted.returncode, lost.returncode, healed.returncode) == (0, 0, 0)
    assert statuses(healed) == ["made", "made"]
    assert sandbox.totals()["accepted"] == 3


def test_killed_after_acceptance(
    start_cli: Start,
    run_cli: Command,
    env: dict[str, str],
    sandbox: Sandbox,
    place: Place,
    words: tuple[object, ...],
) -> None:
    """The next run archives the generations of a killed run and submits nothing."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 10})
    first = start_cli(*words, env=env)
    until(lambda: accepted(place) == 2)
    kill(first)

    again = run_cli(*words, env=env)

    assert statuses(again) == ["made", "made"]
    assert again.returncode == 0
    assert sandbox.totals()["submits_received"] == 2


def test_two_processes_pay_once(
    start_cli: Start, env: dict[str, str], sandbox: Sandbox, words: tuple[object, ...]
) -> None:
    """Two processes that start one production together share its clips."""
    sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 0.5})
    both = [start_cli(*words, env=env) for _ in range(2)]

    outputs = [json.loads(process.communicate(timeout=_WAIT_SECONDS)[0]) for process in both]

    assert [output["exit_code"] for output in outputs] == [0, 0]
    assert sandbox.totals()["accepted"] == 2
    assert sandbox.totals()["duplicates"] == 0
