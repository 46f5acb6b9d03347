"""Run a module that ends with its parent: `python -m prefect_seedance.cli.subprocesses MODULE …`."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_STOP_SECONDS = 5.0
"""How long a child may take to clean up."""


@contextmanager
def child_process(
    module: str, *arguments: object, out: int | IO[bytes], env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module as a child process that Ctrl-C does not reach and that ends with this process.

    It has a session of its own, so that it still runs while this process cleans up. When this process ends,
    even by SIGKILL, the pipe that the child reads is closed, and the child ends too.

    Args:
        module: As for ``python -m``.
        arguments: Of the module.
        out: Receives its output and errors.
        env: Its environment; by default this process's.
    """
    command = [sys.executable, "-m", __name__, module, *map(str, arguments)]
    child = subprocess.Popen(  # noqa: S603 -- this very interpreter
        command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )
    try:
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()


def _end_with_parent() -> None:
    # Returns when the parent's end of the pipe is closed. Python's own reader would abort an earlier exit.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
