"""Processes forked from a server that has imported the package, which is two thirds of a command's CPU time.

A forked process runs the same script as a started one, with its own session, environment, folder and streams.
It is a child of the tests' process. Only imported modules come from the server.
"""

import atexit
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import prefect_seedance

_ROOT = Path(__file__).parents[1]

_MESSAGE_BYTES = 1 << 17
"""Upper bound of a command line with its environment."""

_FORK_SECONDS = 120.0
"""Bound of one fork; the first one waits until the server has imported the package."""

_PR_SET_CHILD_SUBREAPER = 36
"""Source: Linux, include/uapi/linux/prctl.h."""

_READ_EARLY = ("PYTHON", "LANG", "LC_", "TZ")
"""Prefixes of variables that Python reads when it starts."""

_LOADED_LATE = ("boto3", "prefect.flow_engine", "prefect.task_engine", "uvicorn.lifespan.on")
"""Modules that the package, or a library of it, imports when it first uses them."""

_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def can_fork(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Return whether a forked process runs like a started one: Python reads some variables when it starts."""
    own, theirs = (
        {name: each[name] for name in each if name.startswith(_READ_EARLY)} for each in (os.environ, env)
    )
    if command[0] == sys.executable:
        is_script = command[1] in {"-m", "-P"} or not command[1].startswith("-")
    else:
        is_script = Path(command[0]).parent == Path(sys.executable).parent
    return sys.platform == "linux" and is_script and own == theirs


class Forked(subprocess.Popen[str]):
    """A process that runs a Python script or module, forked instead of started."""

    def _execute_child(self, *arguments: object) -> None:
        """Let the server fork; everything else in `Popen` works for any child process."""
        start = super()._execute_child  # type: ignore[misc]  # no public part of Popen starts a process
        given = inspect.signature(start).bind(*arguments).arguments
        ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        streams = [number if end == -1 else end for number, end in enumerate(ends)]
        request = {"words": given["args"], "cwd": str(given["cwd"] or Path.cwd()), "env": dict(given["env"])}
        self.pid = _server().fork(json.dumps(request).encode(), streams)
        self._child_created = True
        self._close_pipe_fds(*(given[name] for name in _PIPES))  # type: ignore[attr-defined]  # likewise


class _Server:
    """The process that forks others."""

    def __init__(self) -> None:
        # Orphans of this process's descendants, such as forked processes, become its children.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_FORK_SECONDS)
        with theirs:
            command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
            number = theirs.fileno()
            self._process = subprocess.Popen(command, cwd=_ROOT, pass_fds=[number], start_new_session=True)
        self._lock = threading.Lock()

    def fork(self, request: bytes, streams: Sequence[int]) -> int:
        """Fork a process and return its id."""
        with self._lock:
            socket.send_fds(self._socket, [request], streams)
            child = int(self._socket.recv(_MESSAGE_BYTES))
        if not child:
            raise OSError("The fork server could not fork a process")
        return child

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork a process for each request, and return the request in that process."""
    while True:
        content, streams, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 3)
        if not content:
            sys.exit()
        read, write = os.pipe()
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)  # makes the child an orphan
            os.setsid()  # before its id is known, so that signals reach its session from the beginning
            os.write(write, str(os.getpid()).encode())
            request: dict[str, Any] = json.loads(content)
            _become(request, streams)
            return request
        os.close(write)  # if the child dies before it writes, the next line reads nothing
        child = os.read(read, _MESSAGE_BYTES) or b"0"
        os.waitpid(between, 0)  # only now the child is one of the tests' process, which may poll it at once
        connection.send(child)
        for number in (read, *streams):
            os.close(number)


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Take over the streams, folder and environment of a new process."""
    from prefect.context import refresh_global_settings_context  # noqa: PLC0415 -- loads Prefect, only here

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1 << 16)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]  # Python's own stream
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None  # found again in the new environment
    refresh_global_settings_context()


def _run(words: list[str]) -> None:
    """Run a command as Python does: a script, or a module after ``-m``; ``-P`` adds no folder to the path."""
    if words[0] == sys.executable:
        del words[0]
    is_module, is_safe = "-m" in words[:2], words[0] == "-P"
    sys.argv = words[is_module + is_safe :]
    if is_safe:
        del sys.path[0]
    else:
        sys.path[0] = str(Path.cwd() if is_module else Path(sys.argv[0]).parent)
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _load() -> None:
    """Import every module of the package, and keep them out of the garbage collector's sight."""
    modules = (
        module.name for module in pkgutil.walk_packages(prefect_seedance.__path__, "prefect_seedance.")
    )
    for name in (*modules, *_LOADED_LATE):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    _run(_serve(socket.socket(fileno=int(sys.argv[1])))["words"])
