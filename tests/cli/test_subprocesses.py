"""Child processes that end with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prefect_seedance.cli.subprocesses import child_process

_WAIT_SECONDS = 20.0
_PARENT = """
import subprocess
from prefect_seedance.cli.subprocesses import child_process
with child_process("http.server", "0", out=subprocess.DEVNULL) as child:
    print(child.pid, flush=True)
    input()
"""


def test_child_gets_arguments(tmp_path: Path) -> None:
    """The module runs with its arguments and the given environment."""
    (tmp_path / "echo_words.py").write_text("import os, sys; print(*sys.argv[1:], os.environ['WORD'])")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "WORD": "dusk"}

    with child_process("echo_words", "dawn", 7, out=subprocess.PIPE, env=environment) as child:
        assert child.stdout
        line = child.stdout.readline()

    assert line == b"dawn 7 dusk\n"


def test_child_ends_with_block() -> None:
    """The child is stopped when the block is left."""
    with child_process("http.server", "0", out=subprocess.DEVNULL) as child:
        assert child.poll() is None

    assert child.returncode is not None


def test_child_ends_with_killed_parent() -> None:
    """The child ends even if its parent is killed and cannot stop it."""
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert _is_running(child)
        parent.send_signal(signal.SIGKILL)

    latest = time.monotonic() + _WAIT_SECONDS
    while _is_running(child):
        assert time.monotonic() < latest, "the child still runs"
        time.sleep(0.05)


def _is_running(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
