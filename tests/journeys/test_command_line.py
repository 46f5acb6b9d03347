"""The command's output, exit codes and reaction to signals."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.processes import BIN, Command, Sandbox, environment, running

Start = Callable[..., subprocess.Popen[str]]
Words = tuple[object, ...]

_LOOK = ("--first-poll", "0.2", "--poll-every", "0.2")
_WAIT_SECONDS = 60.0
_STOPPED_SECONDS = 30.0
"""Half of a request's timeout; on an idle machine it takes two to three seconds."""

STEP = re.compile(r"\d\d:\d\d:\d\d  (.+)  (.+)")


@pytest.fixture
def words(board: Path, archive: Path, sandbox: Sandbox) -> Words:
    """Return the arguments of a command that produces the storyboard."""
    return ("produce", board, "--archive", archive, "--images-url", sandbox.hosted, *_LOOK)


@pytest.fixture
def endless(sandbox: Sandbox) -> None:
    """Make the sandbox accept generations that never end."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})


def until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < latest, "the condition did not become true in time"
        time.sleep(0.05)


def children(parent: int) -> set[int]:
    """Return the live child processes of a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(parent):
                found.add(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_pipe_gets_lines(
    run_cli: Command, production_env: Mapping[str, str], words: Words, archive: Path
) -> None:
    """In a pipe, each step is a line on standard error, and the summary with the files is the output."""
    run = run_cli(*words, env=production_env)

    assert run.returncode == 0
    stages = [match.groups() for match in map(STEP.fullmatch, run.stderr.splitlines()) if match]
    steps = [stage for name, stage in stages if name == "dawn → noon"]
    assert (steps[0], steps[-1]) == ("submitting", "made")
    assert "processing" in steps
    assert run.stdout.startswith("Test board\n")
    folder = re.search(r"^Clips +(\S+)/$", run.stdout, re.MULTILINE)
    assert folder
    assert sorted(path.name for path in Path(folder[1]).iterdir()) == [
        "01 dawn → noon.mp4",
        "02 noon → dusk.mp4",
    ]
    assert f"Manifest  {archive}/productions/test-board/manifest.json" in run.stdout


def test_json_prints_manifest(
    run_cli: Command, production_env: Mapping[str, str], words: Words, sandbox: Sandbox
) -> None:
    """With --json the command prints the manifest and the exit code; a second run buys nothing."""
    first = run_cli(*words, "--json", env=production_env)
    second = run_cli(*words, "--json", env=production_env)

    assert [json.loads(run.stdout)["exit_code"] for run in (first, second)] == [0, 0]
    assert [clip["status"] for clip in json.loads(second.stdout)["clips"]] == ["reused", "reused"]
    assert sandbox.totals()["accepted"] == 2
    assert STEP.search(first.stderr)


@pytest.mark.parametrize(
    ("rule", "more", "code", "said"),
    [
        pytest.param({"kind": "submit", "fault": "answer", "status": 401}, (), 2, "401", id="no account"),
        pytest.param(
            {"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT"},
            (),
            1,
            "--retry-failed",
            id="failed",
        ),
        pytest.param(
            {"kind": "submit", "fault": "accept-then-drop", "times": 1},
            (),
            3,
            "--unresolved",
            id="unresolved",
        ),
        pytest.param(
            {"kind": "generation", "fault": "never-end"}, ("--deadline", "3s"), 4, "Continue:", id="in flight"
        ),
    ],
)
def test_exit_code_and_remedy(
    rule: Mapping[str, object],
    more: Words,
    code: int,
    said: str,
    run_cli: Command,
    production_env: Mapping[str, str],
    words: Words,
    sandbox: Sandbox,
) -> None:
    """The exit code shows the most urgent problem, and the summary names the remedy."""
    sandbox.faults(rule)

    run = run_cli(*words, *more, env=production_env)

    assert run.returncode == code
    assert said in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"SEEDANCE_API_KEY": ""}, "There is no API key", id="key"),
        pytest.param({"SEEDANCE_BASE_URL": "ftp://nowhere"}, "ftp://nowhere", id="base URL"),
        pytest.param({"PREFECT_API_URL": "http://127.0.0.1:1/api"}, "does not answer", id="server"),
    ],
)
def test_invalid_setup_is_reported(
    changed: Mapping[str, str],
    said: str,
    run_cli: Command,
    production_env: Mapping[str, str],
    words: Words,
    sandbox: Sandbox,
) -> None:
    """An invalid setup is reported in one line with a remedy, and nothing is submitted."""
    run = run_cli(*words, env={**production_env, **changed})

    assert run.returncode == 2
    assert run.stdout == ""
    assert said in run.stderr
    assert run.stderr.count("\n") == 1
    assert sandbox.totals()["submits_received"] == 0


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_cleanly(
    number: signal.Signals,
    start_cli: Start,
    run_cli: Command,
    production_env: Mapping[str, str],
    words: Words,
    sandbox: Sandbox,
    archive: Path,
) -> None:
    """A signal ends the run with a correct manifest and a command to continue, which buys nothing twice."""
    process = start_cli(*words, env=production_env)
    until(lambda: sandbox.totals()["status_reads"] > 2)
    signalled_at = time.monotonic()

    process.send_signal(number)
    out, err = process.communicate(timeout=_WAIT_SECONDS)

    assert process.returncode == 4
    assert time.monotonic() - signalled_at < _STOPPED_SECONDS
    assert err.splitlines().count("Stopping … press Ctrl-C again to quit now") == 1
    assert out.splitlines()[-1].split() == [str(BIN / "prefect-seedance"), *map(str, words)]
    manifest: Mapping[str, Any] = json.loads((archive / "productions/test-board/manifest.json").read_text())
    accepted = {generation["taskId"] for generation in sandbox.books()["generations"]}
    assert {clip["status"] for clip in manifest["clips"]} == {"in flight"}
    assert {clip["generation_id"] for clip in manifest["clips"]} == accepted

    again = run_cli(*words, "--deadline", "2", env=production_env)

    assert again.returncode == 4
    assert sandbox.totals()["submits_received"] == 2


@pytest.mark.usefixtures("endless")
def test_second_signal_exits_at_once(
    start_cli: Start, production_env: Mapping[str, str], words: Words, sandbox: Sandbox
) -> None:
    """A second signal ends the command without waiting."""
    process = start_cli(*words, env=production_env)
    until(lambda: sandbox.totals()["status_reads"] > 2)

    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert any(line.startswith("Stopping") for line in process.stderr)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=_WAIT_SECONDS) == 130


def test_early_signal_submits_nothing(
    start_cli: Start, production_env: Mapping[str, str], words: Words, sandbox: Sandbox
) -> None:
    """A signal before the first submission ends the command with a message."""
    process = start_cli(*words, "--prefect", env={**production_env, "PREFECT_API_URL": ""})
    assert process.stderr
    assert "temporary Prefect server" in process.stderr.readline()

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_WAIT_SECONDS)

    assert process.returncode == 130
    assert err == "prefect-seedance: Stopped before anything was submitted\n"
    assert sandbox.totals()["submits_received"] == 0


def test_kill_ends_server(start_cli: Start, production_env: Mapping[str, str], words: Words) -> None:
    """When the command is killed, the server that it started exits, too."""
    process = start_cli(*words, "--prefect", env={**production_env, "PREFECT_API_URL": ""})
    until(lambda: bool(children(process.pid)))
    server = children(process.pid)

    process.kill()
    process.wait()

    until(lambda: not any(map(is_alive, server)))


@pytest.fixture
def demo(tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Return a function that runs the demo in an empty environment."""

    def run() -> subprocess.CompletedProcess[str]:
        command = (BIN / "prefect-seedance", "demo")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with running(*command, env=environment(tmp_path / "prefect"), cwd=tmp_path, **pipes) as process:
            out, err = process.communicate(timeout=180)
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


def test_demo_makes_example(demo: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """The demo makes its example without account and server, and reuses it on the second run.

    It starts a temporary server, as every production with --prefect does, and prints one line about it.
    """
    first, second = demo(), demo()

    line = "Starting a temporary Prefect server (set PREFECT_API_URL to use a running one)\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert all(run.stderr.startswith(line) for run in (first, second))
    assert "3 made. This run submitted 12 s of video." in first.stdout
    assert "3 reused. This run submitted 0 s of video." in second.stdout
    assert "SEEDANCE_API_KEY" in first.stdout
    assert len(list(tmp_path.glob("films/clips/*/clip-*.mp4"))) == 3
    names = sorted(path.name for path in tmp_path.glob("films/productions/lighthouse/clips/*"))
    assert names == ["01 dawn → noon.mp4", "02 noon → dusk.mp4", "03 dusk → night.mp4"]


def output_on_terminal(words: Words, env: Mapping[str, str], home: Path) -> str:
    """Run the command on a terminal of 100 columns and 30 lines, and return its output."""
    master, slave = pty.openpty()
    os.set_blocking(master, True)
    terminal = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    command, written = (BIN / "prefect-seedance", *words), b""
    ends = {"stdin": slave, "stdout": slave, "stderr": slave}
    with running(*command, env={**environment(home, **env), **terminal}, cwd=home.parent, **ends):
        os.close(slave)
        with contextlib.suppress(OSError):  # on Linux, closing a terminal raises OSError
            while chunk := os.read(master, 65536):
                written += chunk
    os.close(master)
    return written.decode()


def test_terminal_shows_table(production_env: Mapping[str, str], words: Words, tmp_path: Path) -> None:
    """On a terminal the command shows a live table, and at the end the summary."""
    written = output_on_terminal(words, production_env, tmp_path / "prefect")

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert re.search(r"1  dawn → noon  +processing +0:0\d", plain)
    assert "2\N{NO-BREAK SPACE}in flight" in plain
    assert any(line.startswith("Manifest  ") for line in plain.splitlines())
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
