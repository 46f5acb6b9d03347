"""Forked processes, compared with started ones."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forking import Forked, can_fork
from tests.processes import BIN, environment, forking, running

_TELL = """
import json, os, random, sys, tempfile
told = {
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
    "variable": os.environ.get("VARIABLE"),
    "temporary": tempfile.gettempdir(),
    "name": __name__,
    "path": sys.path[0],
    "leader": os.getpid() == os.getsid(0),
    "parent": os.getppid(),
    "files": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
}
print(json.dumps(told))
print("an error", file=sys.stderr)
sys.exit(int(sys.stdin.read()))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a script, forked or started."""
    (tmp_path / "tell.py").write_text(_TELL, encoding="utf-8")

    def ran(*, forks: bool) -> subprocess.CompletedProcess[str]:
        env = environment(tmp_path, VARIABLE="set", TMPDIR=str(tmp_path))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = (sys.executable, tmp_path / "tell.py", "one", "--two")
        start = forking if forks else running
        with start(*command, env=env, cwd=tmp_path, **pipes) as process:
            assert isinstance(process, Forked) is forks
            out, err = process.communicate("7", timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return ran


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


def test_fork_equals_start(run: Run) -> None:
    """A forked process gets what a started one gets, and is a child of this process like that one."""
    forked, started = (run(forks=forks) for forks in (True, False))

    assert json.loads(forked.stdout) == json.loads(started.stdout)
    assert json.loads(forked.stdout)["parent"] == os.getpid()
    assert (forked.returncode, forked.stderr) == (started.returncode, started.stderr) == (7, "an error\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_ends_fork(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends a forked process as it ends a started one."""
    (tmp_path / "wait.py").write_text("import time\nprint('waiting', flush=True)\ntime.sleep(600)\n")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    codes = []

    for start in (forking, running):
        command = (sys.executable, tmp_path / "wait.py")
        with start(*command, env=environment(tmp_path), **pipes) as process:
            assert process.stdout
            assert process.stdout.readline() == "waiting\n"
            os.killpg(process.pid, number)
            codes.append(process.wait(60))

    assert codes == [-number, -number]


@pytest.mark.parametrize(
    ("command", "changed", "expected"),
    [
        pytest.param([str(BIN / "prefect-seedance")], {}, True, id="script"),
        pytest.param([sys.executable, "-m", "module"], {}, True, id="module"),
        pytest.param(["/bin/true"], {}, False, id="other program"),
        pytest.param([sys.executable, "-c", "pass"], {}, False, id="code"),
        pytest.param([sys.executable, "script.py"], {"PYTHONIOENCODING": "ascii"}, False, id="encoding"),
    ],
)
def test_others_are_started(command: list[str], changed: dict[str, str], *, expected: bool) -> None:
    """A command is started instead if it is not Python's, or if Python would start in another way."""
    assert can_fork(command, {**os.environ, **changed}) is expected
