"""Run a temporary Prefect server for one command."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx
from fastapi import FastAPI
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from prefect_seedance.cli.subprocesses import child_process
from prefect_seedance.errors import SetupError

_START_SECONDS = 600.0
"""Usually 5 to 15; far longer on a busy machine, where the first start also creates the database."""

_CHECK_EVERY_SECONDS = 0.1


def create() -> FastAPI:
    """Build the server's application, as uvicorn's factory in the child process."""
    from prefect.server.api.server import create_app  # noqa: PLC0415 -- takes a second, in the child only

    return create_app(ephemeral=True, final=True)


def has_server() -> bool:
    """Whether Prefect is configured to use a server."""
    return bool(get_current_settings().api.url)


@contextmanager
def temporary_server() -> Iterator[None]:
    """Run a server, and configure Prefect in this process to use it.

    Raises:
        SetupError: If it does not start.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    words = ("--factory", f"{__name__}:create", "--host", "127.0.0.1", "--port", port)
    with (
        tempfile.TemporaryFile() as log,
        child_process("uvicorn", *words, "--lifespan", "on", out=log, env=_heard()) as server,
    ):
        _await_health(f"{url}/api/health", server, log)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        os.environ["PREFECT_UI_URL"] = ""  # links to it would be stored, and outlive it
        refresh_global_settings_context()
        yield


def _heard() -> dict[str, str]:
    """Return the environment without the settings that silence Prefect in this process."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_LOGGING_")}


def _await_health(url: str, server: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    latest = time.monotonic() + _START_SECONDS
    with httpx.Client() as http:  # 27 ms of CPU time, as it loads certificates
        while time.monotonic() < latest and server.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if http.get(url).is_success:
                    return
            time.sleep(_CHECK_EVERY_SECONDS)
    log.seek(0)
    words = log.read().decode(errors="replace").strip().splitlines() or ["no output"]
    end = (
        f"did not answer within {_START_SECONDS:.0f} s"
        if server.poll() is None
        else f"ended with exit code {server.returncode}"
    )
    raise SetupError(
        f"The temporary Prefect server {end} ({words[-1].strip()}). Start one with `prefect server start`, "
        "and set PREFECT_API_URL to its address"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
